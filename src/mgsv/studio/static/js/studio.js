// The page: what is chosen, and what follows from it.

import { Jobs, address, bytes, get, post, put, remove } from "./api.js";
import { Cards } from "./cards.js";
import { command } from "./command.js";
import { $, clock, element, later } from "./dom.js";
import { History } from "./history.js";
import { library } from "./library.js";
import { Picture } from "./picture.js";
import { Player } from "./player.js";
import { attempt, problem } from "./problems.js";
import { Queue } from "./queue.js";
import { Waveform } from "./waveform.js";

const KEPT_SOUNDS = 16;

let clip = null; // that is on the stage
let sounding = ""; // the address of the sound that is wanted
const sounds = new Map(); // address → promise of a buffer
const tracks = new Map(); // id → promise of what the waveform shows

const history = new History();
const player = new Player($("video"));
const cards = new Cards((moment) => chooseMoment(moment));
const picture = new Picture($("motion"), $("strip"), (seconds) => player.seek(seconds));
const queue = new Queue({
  select: (id) => show(id),
  added: (added) => {
    if (!clip) show(added.id);
    find(added.id);
  },
  removed: (removed) => {
    if (removed.id === clip?.id) show(queue.clips[0]?.id);
  },
  cancel: (job) => attempt(() => remove(`/jobs/${job.id}`)),
  problem,
});
const waveform = new Waveform({
  overview: $("overview"),
  detail: $("detail"),
  region: $("region"),
  start: $("edge-start"),
  end: $("edge-end"),
  changed: (moment, through) => through && choose({ ...clip.choice, ...moment }),
  lit: (cuts, all) => {
    picture.lit = cuts;
    $("on-beat").textContent = all ? `${cuts.size} of ${all} cuts fall on beats.` : "";
  },
});
const jobs = new Jobs((job) => progress(job));

window.studio = { player, waveform, queue, get clip() { return clip; } }; // for tests and the curious

// --- what is on the stage ---------------------------------------------------------------------

async function show(id) {
  const wanted = id && queue.get(id);
  if (wanted?.id === clip?.id && clip) return;
  player.pause();
  clip = wanted ?? null;
  location.replace(clip ? `#${clip.id}` : "#");
  queue.select(clip?.id ?? "");
  $("stage").hidden = $("choice").hidden = !clip;
  $("explanation").hidden = true;
  $("made").replaceChildren();
  cards.show(null);
  picture.data = null;
  waveform.clip = { duration: 0, cuts: [] };
  if (!clip) return;
  const { id: shown, name, duration } = clip;
  $("clip-name").textContent = name;
  $("no-picture").hidden = true;
  player.load(address(`/clips/${shown}/media`), duration);
  $("strip").removeAttribute("src"); // comes with the candidates, which it would keep waiting
  $("own").hidden = !clip.has_audio;
  refresh();
  if (clip.found) await candidates();
}

/** What is known of the clip on the stage, after it has changed. */
function refresh() {
  const { choice, track } = clip;
  $("results").hidden = $("track").hidden = $("command").hidden = !(choice && track);
  cards.mark(choice);
  if (!clip.found) cards.say(queue.looks(clip.id) ? "" : clip.needs_look);
  const can = history.can(clip.id);
  $("undo").disabled = !can.undo;
  $("redo").disabled = !can.redo;
  $("accept").textContent = clip.accepted ? "Accepted" : "Accept";
  $("accept").disabled = clip.accepted;
  if (!choice || !track) return;
  $("track-name").textContent = track.name;
  const tempo = track.tempo ? `${Math.round(track.tempo)} bpm` : "no beat";
  $("track-facts").textContent = `${clock(track.duration, 0)}, ${tempo}`;
  $("own-gain").value = choice.keep_audio ? toSlider(choice.own_gain) : 0;
  $("own-note").textContent = choice.keep_audio ? "The music ducks under it." : "";
  $("command").querySelector("code").textContent = command(clip);
  showTrack(track, choice);
  listen();
}

async function showTrack(track, choice) {
  if (!tracks.has(track.id)) {
    tracks.set(
      track.id,
      Promise.all([get(`/tracks/${track.id}/peaks`), get(`/tracks/${track.id}/structure`)]),
    );
  }
  try {
    const [peaks, form] = await tracks.get(track.id);
    if (clip?.track?.id !== track.id) return;
    if (showTrack.shown !== track.id) {
      showTrack.shown = track.id;
      waveform.moment = choice;
      waveform.track = {
        duration: track.duration,
        peaks: peaks.peaks,
        perSecond: peaks.per_second,
        beats: form.beats,
        downbeats: form.downbeats,
        sections: form.sections,
      };
    }
    waveform.moment = clip.choice;
  } catch (error) {
    tracks.delete(track.id);
    problem(error);
  }
}

async function candidates() {
  const { id } = clip;
  $("strip").src = address(`/clips/${id}/filmstrip`);
  await attempt(async () => {
    const [found, data] = await Promise.all([get(`/clips/${id}/candidates`), get(`/clips/${id}/picture`)]);
    if (clip?.id !== id) return;
    cards.show(found);
    cards.mark(clip.choice);
    picture.data = data;
    waveform.clip = { duration: data.duration, cuts: data.cuts };
    ahead();
  });
}

// --- sound -----------------------------------------------------------------------------------

function soundOf(choice) {
  const { track, start, end, keep_audio: keep, own_gain: gain } = choice;
  const where = `track=${track}&start=${start.toFixed(4)}&end=${end.toFixed(4)}`;
  return `/clips/${clip.id}/sound?${where}${keep ? `&keep_audio=true&own_gain=${gain}` : ""}`;
}

function fetchSound(place) {
  if (!sounds.has(place)) {
    const coming = bytes(place).then((file) => player.decode(file));
    coming.catch(() => sounds.delete(place));
    sounds.set(place, coming);
    if (sounds.size > KEPT_SOUNDS) sounds.delete(sounds.keys().next().value);
  }
  return sounds.get(place);
}

/** Has the choice heard, from where the clip is. */
const listen = later(60, async () => {
  if (!clip?.choice) return;
  const place = (sounding = soundOf(clip.choice));
  $("track").classList.add("loading");
  try {
    const buffer = await fetchSound(place);
    if (sounding === place) player.sound = buffer;
  } catch (error) {
    problem(error);
  } finally {
    if (sounding === place) $("track").classList.remove("loading");
  }
});

/** Fetches what is likely to be heard next. */
function ahead() {
  for (const step of [1, 2]) {
    const moment = cards.beside(clip.choice, step);
    if (moment) fetchSound(soundOf({ ...clip.choice, ...momentOf(moment) })).catch(() => {});
  }
}

const momentOf = ({ track, start, end }) => ({ track: track.id, start, end });
const toSlider = (gain) => Math.round((gain + 40) / 0.52);
const toGain = (value) => Math.round((value * 0.52 - 40) * 10) / 10;

// --- choices ---------------------------------------------------------------------------------

function chooseMoment(moment) {
  choose({ ...(clip.choice ?? {}), ...momentOf(moment) }).then(ahead);
}

/** Chooses and remembers what was chosen before. */
async function choose(choice, { note = true } = {}) {
  const { id, choice: before } = clip;
  if (note && before) history.note(id, before);
  const moment = cards.moments.find((one) => one.track.id === choice.track);
  clip = { ...clip, choice, track: moment?.track ?? clip.track };
  refresh(); // at once, not when the answer comes
  await attempt(async () => take(await put(`/clips/${id}/choice`, choice)));
}

function take(known) {
  queue.put(known);
  if (known.id !== clip?.id || waveform.dragging) return;
  clip = known;
  refresh();
}

function step(kind) {
  if (!clip?.choice) return;
  const choice = history[kind](clip.id, clip.choice);
  if (choice) choose(choice, { note: false });
}

async function find(id, request = {}) {
  await start(`/clips/${id}/groundings`, { options: { top: 10 }, ...request });
}

function narrowed() {
  return {
    words: $("words").value.trim(),
    tempo_from: Number($("tempo-from").value) || 0,
    tempo_to: Number($("tempo-to").value) || 1000,
  };
}

// --- jobs ------------------------------------------------------------------------------------

const start = (path, request) =>
  attempt(async () => {
    jobs.take(await post(path, request));
  });

async function progress(job) {
  if (job.kind === "index") return library(job);
  queue.job(job);
  if (job.state === "failed") problem(job.problem, queue.get(job.clip)?.name);
  if (!["done", "failed"].includes(job.state) || !queue.get(job.clip)) return;
  await attempt(async () => {
    const known = await get(`/clips/${job.clip}`);
    const before = clip;
    const done = job.state === "done";
    if (done && job.kind === "ground" && before?.id === known.id && before.choice) {
      history.note(known.id, before.choice);
    }
    take(known);
    if (!done || job.clip !== clip?.id) return;
    if (job.kind === "ground") await candidates();
    if (job.kind === "explain") explain(job);
    if (["render", "timeline"].includes(job.kind)) made(job);
  });
}

function made(job) {
  const words = { render: "The rendered clip", timeline: "The timeline" }[job.kind];
  $("made").prepend(
    element(
      "li",
      {},
      element("a", { href: `${job.file}?download=true`, download: true }, `${words} (download)`),
      ...job.notes.map((note) => element("p", { class: "note" }, note)),
    ),
  );
}

function explain(job) {
  $("explanation").querySelector("img").src = job.file;
  const sentences = job.notes.map((note) => element("li", {}, note));
  $("explanation").querySelector("ul").replaceChildren(...sentences);
  $("explanation").hidden = false;
}

// --- hands and keys --------------------------------------------------------------------------

const toggle = () => (player.playing ? player.pause() : player.play());

$("play").addEventListener("click", toggle);
$("again").addEventListener("click", () => {
  const { track, start: near } = clip.choice;
  find(clip.id, { track, near });
});
$("only").addEventListener("click", () => find(clip.id, { track: clip.choice.track }));
$("like").addEventListener("click", () => find(clip.id, { like: clip.choice.track }));
$("undo").addEventListener("click", () => step("undo"));
$("redo").addEventListener("click", () => step("redo"));
$("narrow").addEventListener("submit", (event) => {
  event.preventDefault();
  find(clip.id, narrowed());
});
$("own-gain").addEventListener("change", (event) => {
  const value = Number(event.target.value);
  choose({ ...clip.choice, keep_audio: value > 0, own_gain: value > 0 ? toGain(value) : 0 });
});
$("render").addEventListener("click", () => start(`/clips/${clip.id}/renders`, {}));
$("timeline").addEventListener("change", (event) => {
  const format = event.target.value;
  event.target.value = "";
  if (format) start(`/clips/${clip.id}/timelines`, { format });
});
$("explain").addEventListener("click", () => start(`/clips/${clip.id}/explanations`, {}));
$("accept").addEventListener("click", () =>
  attempt(async () => {
    const { id } = clip;
    await post("/uses", { clip: id });
    take(await get(`/clips/${id}`));
  }),
);
$("render-all").addEventListener("click", async () => {
  const wanted = $("needs-look").checked;
  for (const one of queue.clips) {
    if (one.choice && !one.rendered && (!wanted || one.needs_look)) {
      await start(`/clips/${one.id}/renders`, {});
    }
  }
});
$("index").addEventListener("click", () => start("/library/index", {}));
$("help").addEventListener("click", () => $("keys").showModal());
$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = getComputedStyle(root).getPropertyValue("color-scheme").trim() === "dark" ||
    (!root.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  theme(dark ? "light" : "dark");
});
$("video").addEventListener("error", () => ($("no-picture").hidden = !clip));

function theme(name) {
  document.documentElement.dataset.theme = name;
  localStorage.setItem("theme", name);
  waveform.repaint();
  picture.draw();
}

player.addEventListener("play", () => ($("play").textContent = "Stop"));
player.addEventListener("pause", () => ($("play").textContent = "Play"));
player.addEventListener("time", () => place());

function place() {
  const seconds = player.position;
  $("time").textContent = clock(seconds);
  picture.position = seconds;
  waveform.position = seconds;
}

// What was clicked is in focus, too, but only what was reached by keyboard is meant by Space.
let pointed = false;
document.addEventListener("pointerdown", () => (pointed = true));

/** Keys that mean something everywhere, but where text is written or a control has them itself. */
document.addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (key === "Tab") pointed = false;
  if (!clip || document.querySelector("dialog[open]")) return;
  const writes = target.matches("input:not([type=checkbox]):not([type=range]), select, textarea");
  if (event.ctrlKey || event.metaKey) {
    if (key.toLowerCase() !== "z" || writes) return;
    event.preventDefault();
    step(event.shiftKey ? "redo" : "undo");
    return;
  }
  if (event.altKey || writes) return;
  const beside = { ArrowDown: 1, ArrowUp: -1 }[key];
  const aside = { ArrowRight: 1, ArrowLeft: -1 }[key];
  const used = `${pointed ? "" : "button, a, summary, "}label, input:not([type=range])`;
  if (key === " " && !target.matches(used)) {
    toggle();
  } else if (beside && !target.matches("input")) {
    const moment = cards.beside(clip.choice, beside);
    if (moment) chooseMoment(moment);
  } else if (aside && !target.matches("input")) {
    player.seek(player.position + aside);
  } else if (key === "r" && clip.choice) {
    $("render").click();
  } else if (key === "a" && clip.choice && !clip.accepted) {
    $("accept").click();
  } else {
    return;
  }
  event.preventDefault();
});

// --- the beginning ---------------------------------------------------------------------------

const remembered = localStorage.getItem("theme");
if (remembered) document.documentElement.dataset.theme = remembered;
await attempt(async () => {
  queue.largest = (await library())?.largest_clip ?? Infinity;
  for (const known of await get("/clips")) queue.put(known);
  const wanted = location.hash.slice(1);
  const first = queue.get(wanted) ?? queue.clips[0];
  if (first) await show(first.id);
  for (const job of await get("/jobs")) {
    if (["waiting", "running"].includes(job.state)) jobs.take(job);
  }
});
document.body.classList.add("ready");
