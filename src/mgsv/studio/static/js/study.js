// The listening test: one trial after the other, until there are no more.

import { Problem, get, post } from "./api.js";
import { $, clock, element } from "./dom.js";
import { TwoSounds } from "./twosounds.js";

const KEPT = "mgsv-study";
const CODE = /^[A-Za-z0-9_-]{22}$/;
const ASKED = {
  fit: ["Which music fits the picture better?",
    "In this part, judge how well the music fits what is seen: its mood, its movement, its cuts."],
  music: ["Which is the better music?",
    "In this part, judge the music itself, whatever is seen."],
};

const sounds = new TwoSounds($("picture"));
let session = null, trial = null, part = 0, opened = 0;

/** For tests: what is heard, and where. */
window.study = { sounds, get trial() { return trial; } };

function view(name) {
  for (const id of ["begin", "part", "trial", "end"]) $(id).hidden = id !== name;
  document.body.dataset.view = name;
}

async function attempt(work) {
  try {
    $("problems").replaceChildren();
    await work();
  } catch (error) {
    const remedy = error instanceof Problem && error.remedy ? `: ${error.remedy}` : "";
    $("problems").replaceChildren(element("p", {}, error.message + remedy));
  }
}

function take(found) {
  session = found;
  localStorage.setItem(KEPT, found.token);
  $("own-code").textContent = found.token;
  $("token").hidden = $("progress").hidden = false;
  $("bar").max = found.of;
  $("bar").value = found.answered;
  $("count").textContent = `${found.answered} of ${found.of} answered`;
  trial = found.next;
  if (!trial) {
    sounds.stop();
    view("end");
    $("end-title").focus();
    return;
  }
  if (trial.part !== part) {
    part = trial.part;
    $("part-title").textContent = `Part ${part} of 2: ${ASKED[trial.question][0]}`;
    $("part-text").textContent = ASKED[trial.question][1];
    view("part");
    $("part-title").focus();
  } else return show();
}

async function show() {
  view("trial");
  $("question").textContent = ASKED[trial.question][0];
  $("steps").disabled = $("next").disabled = $("play").disabled = true;
  for (const input of steps()) input.checked = false;
  $("said").textContent = "Loading …";
  $("question").focus();
  await sounds.load(trial);
  sounds.hear(trial.first);
  opened = performance.now();
  $("play").disabled = false;
  $("place").max = trial.seconds;
  draw();
}

const steps = () => document.querySelectorAll("#steps input");
const chosen = () => document.querySelector("#steps input:checked");
const heardBoth = () => trial && Math.min(sounds.listened.a, sounds.listened.b) >= trial.least;

function draw() {
  $("play").textContent = sounds.playing ? "Pause" : "Play";
  for (const side of ["a", "b"]) {
    $(`hear-${side}`).setAttribute("aria-pressed", String(sounds.side === side));
  }
  $("place").value = sounds.place;
  $("place").setAttribute("aria-valuetext", `${sounds.place.toFixed(0)} seconds`);
  $("time").textContent = clock(sounds.place);
  const ready = heardBoth();
  if ($("steps").disabled === ready) $("steps").disabled = !ready;
  $("next").disabled = !(ready && chosen());
  const left = ["a", "b"].filter((side) => sounds.listened[side] < trial.least);
  const wanted = left.map((side) => side.toUpperCase()).join(" and ");
  const text = ready ? "Both heard: choose your answer." : `Still to be heard: ${wanted}`;
  if ($("said").textContent !== text) $("said").textContent = text;
}
sounds.onchange = draw;

const toggle = () => (sounds.playing ? sounds.pause() : attempt(() => sounds.play()));
const hear = (side) => {
  sounds.hear(side);
  if (!sounds.playing) attempt(() => sounds.play());
};

async function answer() {
  if ($("next").disabled) return;
  $("next").disabled = true;
  sounds.pause();
  const { a, b } = sounds.listened;
  const request = {
    preference: Number(chosen().value),
    heard: sounds.heard,
    listened: [a, b],
    seconds: (performance.now() - opened) / 1000,
  };
  await attempt(async () => {
    await take(await post(`/study/sessions/${session.token}/trials/${trial.number}/answer`, request));
  });
  if (document.body.dataset.view === "trial" && heardBoth()) draw();
}

$("start").addEventListener("click", () => attempt(async () => {
  await take(await post("/study/sessions"));
}));
$("resume").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const code = $("code").value.trim();
    if (!CODE.test(code)) throw new Problem({ detail: "There is no such code", remedy: "copy all of it" });
    await take(await get(`/study/sessions/${code}`));
  });
});
$("go").addEventListener("click", () => attempt(show));
$("play").addEventListener("click", toggle);
for (const side of ["a", "b"]) $(`hear-${side}`).addEventListener("click", () => hear(side));
$("place").addEventListener("input", () => sounds.seek(Number($("place").value)));
$("steps").addEventListener("change", draw);
$("next").addEventListener("click", answer);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("trial").hidden) return;
  const key = event.key.toLowerCase(), at = event.target;
  const number = Number(key);
  if (key === " " && !at.matches("button, summary, input[type=radio]")) toggle();
  else if (key === "a" || key === "b") hear(key);
  else if (key === "x") hear(sounds.side === "a" ? "b" : "a");
  else if (number >= 1 && number <= 5 && !$("steps").disabled) {
    steps()[number - 1].checked = true;
    steps()[number - 1].focus();
    draw();
  } else if (key === "enter" && !at.matches("button, summary")) answer();
  else return;
  event.preventDefault();
});

const kept = localStorage.getItem(KEPT);
try {
  if (!kept) throw new Problem();
  await take(await get(`/study/sessions/${kept}`));
} catch {
  view("begin");
}
document.body.classList.add("ready");
