// A track: the whole of it, and the part around the moment, which can be dragged and resized.

import { clamp, clock, colours, fitted, nearest } from "./dom.js";

const ON_BEAT = 0.07; // seconds between a cut and a beat that count as together
const SHORTEST = 1; // seconds of a moment
const FINE = 0.01; // seconds that a key moves it off the beats
const AROUND = 3; // lengths of the moment that are shown
const LEAST = 12; // seconds that are shown at least
const BORDER = 32; // pixels at the ends where dragging moves the view

export class Waveform {
  #overview;
  #detail;
  #parts; // { region, start, end }: elements, each a slider
  #changed;
  #lit;
  #track = null;
  #whole = null; // the overview without the moment
  #moment = { start: 0, end: 0 };
  #clip = { duration: 0, cuts: [] };
  #view = { from: 0, to: 1 };
  #drag = null;
  #position = null;
  #frame = 0;

  /**
   * changed: called with { start, end } and whether the person is through with it.
   * lit: called with the numbers of the clip's cuts that fall on beats.
   */
  constructor({ overview, detail, region, start, end, changed, lit }) {
    this.#overview = overview;
    this.#detail = detail;
    this.#parts = { region, start, end };
    this.#changed = changed;
    this.#lit = lit;
    for (const [part, handle] of Object.entries(this.#parts)) {
      handle.addEventListener("pointerdown", (event) => this.#take(event, part));
      handle.addEventListener("pointermove", (event) => this.#pull(event));
      handle.addEventListener("pointerup", () => this.#release());
      handle.addEventListener("pointercancel", () => this.#release());
      handle.addEventListener("keydown", (event) => this.#key(event, part));
    }
    overview.addEventListener("pointerdown", (event) => this.#jump(event));
    new ResizeObserver(() => {
      this.#whole = null;
      this.#redraw();
    }).observe(detail);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.repaint());
  }

  get dragging() {
    return this.#drag !== null;
  }

  /** Seconds of the track that are shown around the moment. */
  get shown() {
    return this.#view.to - this.#view.from;
  }

  /** Shows a track: { duration, peaks, perSecond, beats, downbeats, sections }. */
  set track(track) {
    this.#track = track;
    this.#whole = null;
    this.#centre();
  }

  /** The clip's { duration, cuts }. */
  set clip(clip) {
    this.#clip = clip;
    this.#tell();
  }

  /** Shows a moment, unless one is being dragged. */
  set moment({ start, end }) {
    if (this.#drag) return;
    this.#moment = { start, end };
    if (start < this.#view.from || end > this.#view.to) this.#centre();
    this.#tell();
  }

  /** Seconds of the clip that are heard. */
  set position(seconds) {
    this.#position = seconds;
    this.#redraw();
  }

  /** Draws everything anew, in colours that may have changed. */
  repaint() {
    this.#whole = null;
    this.#redraw();
  }

  #centre() {
    const { start, end } = this.#moment;
    const total = this.#track?.duration ?? 1;
    const length = Math.min(total, Math.max(LEAST, AROUND * (end - start)));
    const from = clamp((start + end - length) / 2, 0, total - length);
    this.#view = { from, to: from + length };
    this.#redraw();
  }

  #seconds(pixels) {
    const { from, to } = this.#view;
    return (pixels / this.#detail.clientWidth) * (to - from);
  }

  #take(event, part) {
    if (!this.#track || event.button !== 0) return;
    event.preventDefault();
    event.target.setPointerCapture(event.pointerId);
    event.target.focus();
    this.#drag = { part, at: event.clientX, x: event.clientX, free: event.shiftKey, moment: this.#moment, view: this.#view };
    this.#roll();
  }

  #pull(event) {
    if (!this.#drag) return;
    this.#drag.x = event.clientX;
    this.#drag.free = event.shiftKey;
    this.#follow();
  }

  #follow() {
    const { part, at, x, free, moment, view } = this.#drag;
    const moved = this.#seconds(x - at) + this.#view.from - view.from;
    this.#set(part, moved, moment, free);
  }

  /** While something is held at an end of the view, the view moves on. */
  #roll() {
    if (!this.#drag) return;
    const box = this.#detail.getBoundingClientRect();
    const { x } = this.#drag;
    const over = x < box.left + BORDER ? -1 : x > box.right - BORDER ? 1 : 0;
    const { from, to } = this.#view;
    const step = clamp(((to - from) / 120) * over, -from, this.#track.duration - to);
    if (step && x !== this.#drag.at) {
      this.#view = { from: from + step, to: to + step };
      this.#follow();
    }
    requestAnimationFrame(() => this.#roll());
  }

  #release() {
    if (!this.#drag) return;
    const before = this.#drag.moment;
    this.#drag = null;
    const { start, end } = this.#moment;
    if (start !== before.start || end !== before.end) this.#changed({ start, end }, true);
  }

  #set(part, moved, from, free) {
    const total = this.#track.duration;
    const snapped = (time) => (free ? time : this.#snap(time));
    const longest = Math.max(SHORTEST, this.#clip.duration);
    let { start, end } = from;
    if (part === "region") {
      const length = end - start;
      start = clamp(snapped(start + moved), 0, Math.max(0, total - length));
      end = start + length;
    } else if (part === "start") {
      start = clamp(snapped(start + moved), Math.max(0, end - longest), end - SHORTEST);
    } else {
      end = clamp(snapped(end + moved), start + SHORTEST, Math.min(total, start + longest));
    }
    if (start === this.#moment.start && end === this.#moment.end) return;
    this.#moment = { start, end };
    this.#tell();
    this.#changed({ start, end }, false);
  }

  #snap(time) {
    const place = nearest(this.#track.beats, time);
    return place < 0 ? time : this.#track.beats[place];
  }

  #key(event, part) {
    if (!this.#track || event.ctrlKey || event.metaKey || event.altKey) return;
    const { start, end } = this.#moment;
    const now = part === "end" ? end : start;
    const total = this.#track.duration;
    const step = (times, by) => {
      const later = times.findIndex((time) => time > now + 1e-3);
      const earlier = times.findLastIndex((time) => time < now - 1e-3);
      const place = by > 0 ? later : earlier;
      return (place < 0 ? now + by : times[place]) - now;
    };
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    let moved;
    if (by) moved = event.shiftKey ? by * FINE : step(this.#track.beats, by);
    else if (event.key === "PageUp") moved = step(this.#track.downbeats, 1);
    else if (event.key === "PageDown") moved = step(this.#track.downbeats, -1);
    else if (event.key === "Home") moved = -now;
    else if (event.key === "End") moved = total - now;
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.#set(part, moved, this.#moment, true);
    this.#changed(this.#moment, true);
    const { from, to } = this.#view;
    if (this.#moment.start < from || this.#moment.end > to) this.#centre();
  }

  #jump(event) {
    if (!this.#track) return;
    const box = this.#overview.getBoundingClientRect();
    const wanted = ((event.clientX - box.left) / box.width) * this.#track.duration;
    const length = this.#moment.end - this.#moment.start;
    this.#set("region", wanted - length / 2 - this.#moment.start, this.#moment, event.shiftKey);
    this.#centre();
    this.#changed(this.#moment, true);
  }

  /** Which cuts fall on beats, and what a screen reader says of the handles. */
  #tell() {
    if (!this.#track) return;
    const { start, end } = this.#moment;
    const { beats, duration } = this.#track;
    const lit = new Set();
    const off = (time) => (beats.length ? Math.abs(beats[nearest(beats, time)] - time) : Infinity);
    this.#clip.cuts.forEach((cut, n) => {
      if (start + cut < end && off(start + cut) <= ON_BEAT) lit.add(n);
    });
    this.#lit(lit, this.#clip.cuts.length);
    for (const [part, handle] of Object.entries(this.#parts)) {
      const time = part === "end" ? end : start;
      handle.setAttribute("aria-valuemax", duration.toFixed(2));
      handle.setAttribute("aria-valuenow", time.toFixed(2));
      const where = off(time) < 0.02 ? ", on a beat" : "";
      handle.setAttribute("aria-valuetext", `${clock(time, 2)}${where}`);
    }
    this.#redraw();
  }

  #redraw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      if (!this.#track) return;
      const paint = colours();
      this.#drawDetail(paint);
      this.#drawOverview(paint);
    });
  }

  #drawDetail(paint) {
    const { context, width, height } = fitted(this.#detail.querySelector("canvas"));
    const { from, to } = this.#view;
    const x = (time) => ((time - from) / (to - from)) * width;
    const { beats, downbeats, sections, peaks, perSecond } = this.#track;
    const lines = (times, colour, top, thick) => {
      context.fillStyle = colour;
      for (let n = Math.max(0, nearest(times, from)); n < times.length && times[n] <= to; n++) {
        if (times[n] >= from) context.fillRect(x(times[n]) - thick / 2, top, thick, height - top);
      }
    };
    lines(beats, paint.beat, height * 0.12, 1);
    lines(downbeats, paint.bar, height * 0.06, 1);
    lines(sections, paint.section, 0, 3);
    drawPeaks(context, peaks, perSecond, { from, to, width, height, colour: paint.wave });
    const { start, end } = this.#moment;
    for (const cut of this.#clip.cuts) {
      const time = start + cut;
      if (time >= end) break;
      const on = beats.length && Math.abs(beats[nearest(beats, time)] - time) <= ON_BEAT;
      context.fillStyle = on ? paint.lit : paint.cut;
      context.fillRect(x(time) - 1.5, 0, 3, on ? height : height * 0.3);
    }
    if (this.#position !== null) {
      context.fillStyle = paint.text;
      context.fillRect(x(start + this.#position) - 0.75, 0, 1.5, height);
    }
    const { region, start: first, end: last } = this.#parts;
    region.style.transform = `translateX(${x(start)}px)`;
    region.style.width = `${Math.max(4, x(end) - x(start))}px`;
    first.style.transform = `translateX(${x(start)}px)`;
    last.style.transform = `translateX(${x(end)}px)`;
  }

  #drawOverview(paint) {
    const { context, width, height } = fitted(this.#overview.querySelector("canvas"));
    const { duration, peaks, perSecond, sections } = this.#track;
    const x = (time) => (time / duration) * width;
    if (!this.#whole) {
      this.#whole = new Path2D();
      drawPeaks(this.#whole, peaks, perSecond, { from: 0, to: duration, width, height });
    }
    context.fillStyle = paint.section;
    for (const border of sections) context.fillRect(x(border), 0, 1.5, height);
    context.fillStyle = paint.wave;
    context.fill(this.#whole);
    context.strokeStyle = paint.bar;
    context.strokeRect(x(this.#view.from), 0.5, x(this.#view.to - this.#view.from), height - 1);
    context.fillStyle = paint.shade;
    const { start, end } = this.#moment;
    context.fillRect(x(start), 0, Math.max(3, x(end - start)), height);
  }
}

/** Bars of the loudest of each two pixels, around the middle; on a path, or painted. */
function drawPeaks(onto, peaks, perSecond, { from, to, width, height, colour }) {
  const path = colour ? new Path2D() : onto;
  const step = 2;
  for (let left = 0; left < width; left += step) {
    const first = Math.floor((from + ((to - from) * left) / width) * perSecond);
    const last = Math.ceil((from + ((to - from) * (left + step)) / width) * perSecond);
    let level = 0;
    for (let n = Math.max(0, first); n < Math.min(last, peaks.length); n++) {
      if (peaks[n] > level) level = peaks[n];
    }
    const tall = Math.max(1, (level / 100) * height * 0.86);
    path.rect(left, (height - tall) / 2, step - 0.5, tall);
  }
  if (colour) {
    onto.fillStyle = colour;
    onto.fill(path);
  }
}
