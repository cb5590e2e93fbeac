// What went wrong, said at the foot of the page.

import { $, element } from "./dom.js";

const MOST = 30;

/** Says what went wrong, and what to do about it; the same thing once. */
export function problem(error, about = "") {
  const { remedy = "" } = error;
  const close = () => line.remove();
  const detail = error.detail ?? error.message;
  const line = element(
    "p",
    {},
    element("bdi", {}, about && !detail.includes(about) ? `${about}: ` : "", detail),
    remedy ? `: ${remedy} ` : " ",
    element("button", { type: "button", "aria-label": "Close this message", onclick: close }, "×"),
  );
  const box = $("problems");
  [...box.children].find((other) => other.textContent === line.textContent)?.remove();
  box.append(line);
  while (box.children.length > MOST) box.firstChild.remove();
  box.scrollTop = box.scrollHeight;
}

/** The value of `work`; what goes wrong is said. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    problem(error);
  }
}
