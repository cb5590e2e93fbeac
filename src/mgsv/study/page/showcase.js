// One picture and several sounds per clip: all run together, and one is heard.
"use strict";

for (const clip of document.querySelectorAll("article")) {
  const video = clip.querySelector("video");
  const buttons = [...clip.querySelectorAll("button")];
  const sounds = buttons.map((button) => button.querySelector("audio"));
  let heard = -1;

  const stop = () => {
    video.pause();
    for (const sound of sounds) sound.pause();
    for (const button of buttons) button.setAttribute("aria-pressed", "false");
    heard = -1;
  };
  clip.addEventListener("stopped", stop);

  const hear = (place) => {
    if (heard === place) return stop();
    const running = heard >= 0;
    heard = place;
    sounds.forEach((sound, n) => { sound.muted = n !== place; });
    buttons.forEach((button, n) => button.setAttribute("aria-pressed", String(n === place)));
    if (running) return;
    for (const other of document.querySelectorAll("article")) {
      if (other !== clip) other.dispatchEvent(new Event("stopped"));
    }
    const from = video.ended ? 0 : video.currentTime;
    for (const media of [video, ...sounds]) {
      media.currentTime = from;
      media.play().catch(() => {});
    }
  };
  buttons.forEach((button, n) => button.addEventListener("click", () => hear(n)));
  video.addEventListener("ended", stop);
  video.addEventListener("timeupdate", () => {
    for (const sound of sounds) {
      if (!sound.ended && Math.abs(sound.currentTime - video.currentTime) > 0.1) {
        sound.currentTime = video.currentTime;
      }
    }
  });
}
