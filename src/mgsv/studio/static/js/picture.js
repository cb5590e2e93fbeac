// What the clip's picture does over time: pictures, cuts, motion, and where it is now.

import { colours, fitted } from "./dom.js";

export class Picture {
  #canvas;
  #seek;
  #data = null;
  #position = 0;
  #lit = new Set();

  /** seek: called with the seconds of the clip that are pointed at. */
  constructor(canvas, strip, seek) {
    this.#canvas = canvas;
    this.#seek = seek;
    for (const one of [canvas, strip]) {
      one.addEventListener("pointerdown", (event) => {
        if (!this.#data) return;
        const box = one.getBoundingClientRect();
        this.#seek(((event.clientX - box.left) / box.width) * this.#data.duration);
      });
    }
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  set data(data) {
    this.#data = data;
    this.draw();
  }

  get cuts() {
    return this.#data?.cuts ?? [];
  }

  set position(seconds) {
    this.#position = seconds;
    this.draw();
  }

  /** Which of the cuts fall on beats. */
  set lit(cuts) {
    this.#lit = cuts;
    this.draw();
  }

  draw() {
    const { context, width, height } = fitted(this.#canvas);
    if (!this.#data) return;
    const paint = colours();
    const { motion, motion_rate: rate, duration, cuts } = this.#data;
    const x = (seconds) => (seconds / duration) * width;
    const most = Math.max(1e-6, ...motion);
    context.fillStyle = paint.motion;
    context.beginPath();
    context.moveTo(0, height);
    motion.forEach((level, n) => context.lineTo(x((n + 0.5) / rate), height * (1 - level / most)));
    context.lineTo(width, height);
    context.fill();
    cuts.forEach((cut, n) => {
      context.fillStyle = this.#lit.has(n) ? paint.lit : paint.cut;
      context.fillRect(x(cut) - 1, 0, 2, height);
    });
    context.fillStyle = paint.text;
    context.fillRect(x(this.#position) - 0.5, 0, 1.5, height);
  }
}
