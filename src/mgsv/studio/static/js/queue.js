// The table of clips, and what is coming in.

import { address, get, post, remove, upload } from "./api.js";
import { $, clock, element, named } from "./dom.js";

export class Queue {
  #clips = new Map();
  #jobs = new Map(); // of each clip: its jobs that have not ended, by kind
  #actions;
  #selected = "";
  largest = Infinity; // bytes of a clip

  /** actions: select(clip), added(clip), removed(clip), cancel(job), problem(error, about). */
  constructor(actions) {
    this.#actions = actions;
    $("needs-look").addEventListener("change", () => this.#draw());
    $("files").addEventListener("change", (event) => {
      this.take([...event.target.files]);
      event.target.value = "";
    });
    const drop = $("drop");
    for (const kind of ["dragenter", "dragover"]) {
      document.addEventListener(kind, (event) => {
        event.preventDefault(); // else the browser opens the file
        drop.classList.add("over");
      });
    }
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) drop.classList.remove("over");
    });
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      this.take([...event.dataTransfer.files]);
    });
    $("browse").addEventListener("click", () => this.#browse());
  }

  get clips() {
    return [...this.#clips.values()];
  }

  get(id) {
    return this.#clips.get(id);
  }

  /** Sends files one after the other. */
  async take(files) {
    for (const file of files) await this.#send(file);
  }

  put(clip) {
    this.#clips.set(clip.id, clip);
    this.#draw();
  }

  select(id) {
    this.#selected = id;
    this.#draw();
  }

  /** Whether music is being looked for. */
  looks(id) {
    return this.#jobs.get(id)?.has("ground") ?? false;
  }

  /** Takes note of how far a job is. */
  job(job) {
    if (!job.clip) return;
    const known = this.#jobs.get(job.clip) ?? new Map();
    this.#jobs.set(job.clip, known);
    if (["waiting", "running"].includes(job.state)) known.set(job.kind, job);
    else known.delete(job.kind);
    this.#draw();
  }

  async #send(file) {
    if (file.size > this.largest) {
      const detail = `${file.name}: the clip has more than ${(this.largest / 1e9).toFixed(1)} GB`;
      const remedy = "pick it from a folder that the studio was started with";
      this.#actions.problem({ detail, remedy }); // before hours of sending it
      return;
    }
    const ending = new AbortController();
    const bar = element("progress", { max: 1, value: 0, "aria-label": `Sending ${file.name}` });
    const line = element(
      "li",
      {},
      named(file.name),
      bar,
      element("button", { type: "button", onclick: () => ending.abort() }, "Cancel"),
    );
    $("incoming").append(line);
    try {
      const clip = await upload(file, (share) => (bar.value = share), ending.signal);
      this.put(clip);
      this.#actions.added(clip);
    } catch (error) {
      if (error.name !== "AbortError") this.#actions.problem(error, file.name);
    } finally {
      line.remove();
    }
  }

  async #browse(number = 0, path = "") {
    const up = path.split("/").slice(0, -1).join("/");
    try {
      const { folders } = await get("/library");
      const entries = await get(`/folders/${number}?path=${encodeURIComponent(path)}`);
      const button = (text, onclick) =>
        element("li", {}, element("button", { type: "button", onclick }, text));
      const others = folders.map((name, n) => button(`▸ ${name}`, () => this.#browse(n)));
      $("entries").replaceChildren(
        ...(folders.length > 1 ? others : []),
        ...(path ? [button("▴ back", () => this.#browse(number, up))] : []),
        ...entries.map((entry) =>
          entry.folder
            ? button(`▸ ${entry.name}`, () => this.#browse(number, entry.path))
            : button(named(entry.name), () => this.#pick(number, entry.path)),
        ),
      );
      if (!$("folder").open) $("folder").showModal();
    } catch (error) {
      this.#actions.problem(error);
    }
  }

  async #pick(folder, path) {
    $("folder").close();
    try {
      const clip = await post("/clips", { folder, path });
      this.put(clip);
      this.#actions.added(clip);
    } catch (error) {
      this.#actions.problem(error);
    }
  }

  async #remove(clip) {
    try {
      await remove(`/clips/${clip.id}`);
    } catch (error) {
      this.#actions.problem(error);
      return;
    }
    this.#clips.delete(clip.id);
    this.#jobs.delete(clip.id);
    this.#draw();
    this.#actions.removed(clip);
  }

  #draw() {
    const wanted = $("needs-look").checked;
    const shown = this.clips.filter((clip) => !wanted || clip.needs_look);
    // What the mouse has clicked need not stay in focus; script would make it a keyboard's focus.
    const focused = document.activeElement?.closest("[data-key]:focus-visible")?.dataset.key;
    $("clips").replaceChildren(...shown.map((clip) => this.#row(clip)));
    if (focused) $("clips").querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
    const empty = this.#clips.size === 0;
    $("queue-tools").hidden = $("clips-box").hidden = empty;
    document.body.classList.toggle("empty", empty);
  }

  #row(clip) {
    const { choice, track } = clip;
    const music = choice && track
      ? [named(track.name), element("span", { class: "note" }, `${clock(choice.start)}–${clock(choice.end)}`)]
      : ["–"];
    return element(
      "tr",
      { class: clip.id === this.#selected ? "selected" : null },
      element(
        "th",
        { scope: "row" },
        element(
          "button",
          {
            type: "button",
            class: "plain",
            "data-key": `clip ${clip.id}`,
            "aria-current": clip.id === this.#selected ? "true" : null,
            onclick: () => this.#actions.select(clip.id),
          },
          named(clip.name),
        ),
        element("span", { class: "note" }, clock(clip.duration)),
      ),
      element("td", {}, ...music),
      element("td", {}, ...this.#state(clip)),
      element(
        "td",
        {},
        element(
          "button",
          {
            type: "button",
            class: "plain",
            "data-key": `remove ${clip.id}`,
            "aria-label": `Remove ${clip.name}`,
            onclick: () => this.#remove(clip),
          },
          "×",
        ),
      ),
    );
  }

  #state(clip) {
    const jobs = [...(this.#jobs.get(clip.id)?.values() ?? [])];
    if (jobs.length) return jobs.map((job) => this.#progress(clip, job));
    if (clip.rendered) {
      const place = address(`/jobs/${clip.rendered}/file?download=true`);
      return [element("a", { href: place, download: true, "data-key": `file ${clip.id}` }, "rendered")];
    }
    if (clip.needs_look) return [element("span", { class: "warn", title: clip.needs_look }, "needs a look")];
    return [clip.accepted ? "accepted" : "ready"];
  }

  #progress(clip, job) {
    const { step, seconds_left: left } = job;
    const what = job.state === "waiting" ? "waiting" : (step?.what ?? `${job.kind} …`);
    const rest = left == null ? "" : `, ${Math.ceil(left)} s left`;
    const bar = step?.total
      ? element("progress", { max: step.total, value: step.done, "aria-label": `${what} ${clip.name}` })
      : null;
    return element(
      "div",
      { class: "job" },
      `${what}${rest}`,
      bar,
      element(
        "button",
        {
          type: "button",
          "data-key": `cancel ${job.id}`,
          "aria-label": `Cancel ${job.kind} of ${clip.name}`,
          onclick: () => this.#actions.cancel(job),
        },
        "Cancel",
      ),
    );
  }
}
