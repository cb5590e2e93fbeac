// A clip's picture with another sound, in step.

const LEAD = 0.02; // seconds between the wish to sound and the first sample
const CLOSE = 0.012; // seconds by which picture and sound may differ without being drawn nearer
const FAR = 0.25; // seconds from which on the picture jumps
const FADE = 0.008; // seconds, so that a change of sound does not click

/** Plays a video element, muted, with a sound that can be changed at any time at its place.
 *
 * The sound goes by the audio clock, which nothing disturbs; the picture follows it, a little quicker
 * or slower, which nobody sees. Events: "play", "pause", "time".
 */
export class Player extends EventTarget {
  #video;
  #context = null;
  #buffer = null;
  #source = null;
  #zero = 0; // the audio clock's time of the clip's beginning
  #timer = 0;
  #position = 0;
  #duration = 0;
  #starting = 0;
  playing = false;
  hasPicture = true;

  constructor(video) {
    super();
    this.#video = video;
    video.muted = true;
    video.addEventListener("error", () => (this.hasPicture = false));
    video.addEventListener("loadeddata", () => (this.hasPicture = true));
  }

  /** Shows another clip; of `duration` seconds. */
  load(address, duration) {
    this.pause();
    this.#position = 0;
    this.#duration = duration;
    this.#buffer = null;
    this.hasPicture = true;
    this.#video.src = address;
    this.#tell("time");
  }

  /** A file of sound as a buffer for `sound`. */
  async decode(file) {
    this.#context ??= new AudioContext();
    return this.#context.decodeAudioData(file);
  }

  /** From now on this is heard, at the place where the clip is. null: nothing. */
  set sound(buffer) {
    this.#buffer = buffer;
    if (this.playing && this.#context && !this.#starting) this.#begin();
  }

  get position() {
    return this.playing && !this.#starting ? this.#heard() : this.#position;
  }

  get duration() {
    return this.#duration;
  }

  /** Both clocks at this instant, in seconds of the clip. */
  clocks() {
    return { audio: this.#heard(), video: this.#video.currentTime, playing: this.playing };
  }

  async play() {
    if (this.playing) return;
    this.playing = true;
    const start = (this.#starting = performance.now());
    this.#context ??= new AudioContext();
    if (this.#position >= this.#duration - 0.05) this.#position = 0;
    this.#tell("play");
    await this.#context.resume();
    await this.#showFrom(this.#position);
    if (this.#starting !== start) return; // stopped, or begun anew, meanwhile
    this.#starting = 0;
    const from = this.hasPicture ? this.#video.currentTime : this.#position;
    this.#zero = this.#context.currentTime - from - this.#latency();
    this.#begin();
    this.#timer = setInterval(() => this.#keepUp(), 50);
  }

  pause() {
    if (!this.playing) return;
    this.#position = this.position;
    this.playing = false;
    this.#starting = 0;
    clearInterval(this.#timer);
    this.#silence();
    this.#video.pause();
    this.#tell("pause");
  }

  async seek(seconds) {
    const playing = this.playing;
    if (playing) this.pause();
    this.#position = Math.min(Math.max(0, seconds), this.#duration);
    this.#video.currentTime = this.#position;
    this.#tell("time");
    if (playing) await this.play();
  }

  async #showFrom(position) {
    const video = this.#video;
    if (!this.hasPicture) return;
    video.playbackRate = 1;
    if (Math.abs(video.currentTime - position) > 0.001) video.currentTime = position;
    try {
      await video.play();
      const moved = new Promise((resolve) => video.requestVideoFrameCallback?.(resolve));
      await Promise.race([moved, new Promise((resolve) => setTimeout(resolve, 300))]);
    } catch (error) {
      if (error.name === "NotSupportedError") this.hasPicture = false;
    }
  }

  #latency() {
    return this.#context.outputLatency || this.#context.baseLatency || 0;
  }

  /** Seconds of the clip that are heard now. */
  #heard() {
    if (!this.#context || !this.playing || this.#starting) return this.#position;
    return this.#context.currentTime - this.#zero - this.#latency();
  }

  #begin() {
    this.#silence();
    if (!this.#buffer) return;
    const when = this.#context.currentTime + LEAD;
    const offset = when - this.#zero;
    if (offset < 0 || offset >= this.#buffer.duration) return;
    const source = this.#context.createBufferSource();
    const gain = this.#context.createGain();
    source.buffer = this.#buffer;
    gain.gain.setValueAtTime(0, when);
    gain.gain.linearRampToValueAtTime(1, when + FADE);
    source.connect(gain).connect(this.#context.destination);
    source.start(when, offset);
    this.#source = { source, gain };
  }

  #silence() {
    if (!this.#source) return;
    const { source, gain } = this.#source;
    const end = this.#context.currentTime + LEAD;
    gain.gain.cancelScheduledValues(0);
    gain.gain.setValueAtTime(1, end);
    gain.gain.linearRampToValueAtTime(0, end + FADE);
    source.stop(end + FADE);
    this.#source = null;
  }

  #keepUp() {
    const heard = this.#heard();
    if (heard >= this.#duration - 0.01) {
      this.pause();
      this.#position = 0;
      this.play(); // round again
      return;
    }
    if (this.hasPicture) {
      const ahead = this.#video.currentTime - heard;
      if (Math.abs(ahead) > FAR) this.#video.currentTime = heard + 0.05;
      const rate = Math.abs(ahead) > CLOSE ? 1 - Math.min(Math.max(ahead * 2, -0.2), 0.2) : 1;
      if (this.#video.playbackRate !== rate) this.#video.playbackRate = rate;
      if (this.#video.paused && heard < this.#duration - 0.1) this.#video.play().catch(() => {});
    }
    this.#tell("time");
  }

  #tell(what) {
    this.dispatchEvent(new Event(what));
  }
}
