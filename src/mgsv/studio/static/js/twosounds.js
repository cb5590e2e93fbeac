// Two sounds over one picture, at the same place: both run all the time, and one is heard.

const FADE = 0.008; // seconds of the switch: no click, and still at once
const AHEAD = 0.05; // seconds in which both sounds are made ready to start together
const LATE = 0.015; // seconds that the picture may be off; beyond, it runs slower or faster

export class TwoSounds {
  #context = null;
  #buffers = {};
  #gains = {};
  #sources = [];
  #began = 0; // of the context's clock, when the clip's start would have been
  #place = 0;
  #video;
  #timer = 0;
  #start = 0;
  #last; // place at the tick before
  side = null;
  playing = false;
  heard = [];
  listened = { a: 0, b: 0 };
  onchange = () => {};

  constructor(video) {
    this.#video = video;
  }

  /** Fetches a picture and two sounds. Sounds are decoded whole, so that switching waits for nothing. */
  async load({ picture, a, b }) {
    this.stop();
    this.#context ??= new AudioContext();
    this.heard = [];
    this.listened = { a: 0, b: 0 };
    this.side = null;
    this.#video.src = picture;
    const decoded = await Promise.all([a, b].map((place) => this.#decoded(place)));
    [this.#buffers.a, this.#buffers.b] = decoded;
  }

  async #decoded(place) {
    const answer = await fetch(place);
    if (!answer.ok) throw new Error("the sound cannot be fetched");
    return this.#context.decodeAudioData(await answer.arrayBuffer());
  }

  get seconds() {
    return Math.max(0.1, ...Object.values(this.#buffers).map((one) => one.duration));
  }

  /** Seconds of the clip that are heard now. */
  get place() {
    if (!this.playing) return this.#place;
    const late = this.#context.outputLatency || 0;
    return Math.max(0, this.#context.currentTime - this.#began - late);
  }

  /** How far the picture is behind the sound, in seconds. */
  get lag() {
    return this.place - this.#video.currentTime;
  }

  async play() {
    if (this.playing || !this.#buffers.a) return;
    await this.#context.resume();
    const from = this.#place >= this.seconds - 0.05 ? 0 : this.#place;
    const at = this.#context.currentTime + AHEAD;
    for (const side of ["a", "b"]) {
      const source = new AudioBufferSourceNode(this.#context, { buffer: this.#buffers[side] });
      const gain = new GainNode(this.#context, { gain: side === this.side ? 1 : 0 });
      source.connect(gain).connect(this.#context.destination);
      source.start(at, from);
      this.#gains[side] = gain;
      this.#sources.push(source);
    }
    this.#began = at - from;
    this.playing = true;
    this.#video.currentTime = from;
    const wait = AHEAD + (this.#context.outputLatency || 0);
    this.#start = setTimeout(() => this.#video.play().catch(() => {}), 1000 * wait);
    this.#note();
    this.#timer = setInterval(() => this.#tick(), 50);
    this.onchange();
  }

  pause() {
    if (!this.playing) return;
    this.#place = Math.min(this.place, this.seconds);
    this.#halt();
    this.onchange();
  }

  stop() {
    this.#halt();
    this.#place = 0;
  }

  seek(seconds) {
    const again = this.playing;
    this.#halt();
    this.#place = seconds;
    this.#video.currentTime = seconds;
    if (again) this.play();
  }

  /** Hear one side, from the same place on. */
  hear(side) {
    this.side = side;
    if (this.playing) {
      const now = this.#context.currentTime;
      for (const [name, gain] of Object.entries(this.#gains)) {
        gain.gain.cancelScheduledValues(now);
        gain.gain.setValueAtTime(gain.gain.value, now);
        gain.gain.linearRampToValueAtTime(name === side ? 1 : 0, now + FADE);
      }
      this.#note();
    }
    this.onchange();
  }

  #note() {
    if (this.heard.at(-1) !== this.side && this.heard.length < 200) this.heard.push(this.side);
  }

  #halt() {
    clearInterval(this.#timer);
    for (const source of this.#sources) source.stop();
    this.#sources = [];
    this.playing = false;
    clearTimeout(this.#start);
    this.#last = undefined;
    this.#video.pause();
    this.#video.playbackRate = 1;
  }

  #tick() {
    const place = this.place;
    if (place >= this.seconds) {
      this.pause();
      return;
    }
    if (this.#last !== undefined) this.listened[this.side] += Math.max(0, place - this.#last);
    this.#last = place;
    const lag = this.lag;
    if (Math.abs(lag) > 0.25 && !this.#video.seeking) this.#video.currentTime = place;
    else if (Math.abs(lag) < LATE) this.#video.playbackRate = 1;
    else this.#video.playbackRate = Math.min(1.2, Math.max(0.8, 1 + 3 * lag));
    this.onchange();
  }
}
