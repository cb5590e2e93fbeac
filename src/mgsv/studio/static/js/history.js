// Undo and redo of choices, for each clip.

export class History {
  #past = new Map();
  #future = new Map();

  /** Notes what a choice was before it is changed. */
  note(clip, choice) {
    this.#of(this.#past, clip).push(choice);
    this.#of(this.#future, clip).length = 0;
  }

  undo(clip, now) {
    return this.#step(clip, now, this.#past, this.#future);
  }

  redo(clip, now) {
    return this.#step(clip, now, this.#future, this.#past);
  }

  can(clip) {
    return { undo: this.#of(this.#past, clip).length > 0, redo: this.#of(this.#future, clip).length > 0 };
  }

  #step(clip, now, from, to) {
    const choice = this.#of(from, clip).pop();
    if (choice) this.#of(to, clip).push(now);
    return choice;
  }

  #of(map, clip) {
    if (!map.has(clip)) map.set(clip, []);
    return map.get(clip);
  }
}
