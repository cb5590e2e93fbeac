// What went wrong, said at the foot of the page.

import { $, element } from "./dom.js";

/** Says what went wrong, and what to do about it. */
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
  $("problems").append(line);
  while ($("problems").children.length > 4) $("problems").firstChild.remove();
}

/** The value of `work`; what goes wrong is said. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    problem(error);
  }
}
