// How much music there is, and how far it is read.

import { get, remove } from "./api.js";
import { $, element } from "./dom.js";
import { attempt, problem } from "./problems.js";

let newest = 0; // the last event of the reading that was shown

/** Shows the library; job: that which reads it, as far as it is. */
export async function library(job) {
  const known = job && job.state === "running" ? null : await get("/library").catch(() => null);
  // The answer may be newer than the event for which it was fetched, and come after a newer one.
  const reading = known?.index?.event > job?.event ? known.index : (job ?? known?.index);
  if (reading?.event < newest) return known;
  newest = reading?.event ?? newest;
  $("index").hidden = !["failed", "cancelled", "done"].includes(reading?.state);
  if (reading?.state === "failed") problem(reading.problem);
  if (known?.ready) {
    $("library").textContent = `${known.tracks} tracks`;
    $("tags").replaceChildren(...known.tags.map((tag) => element("option", { value: tag })));
    $("tempo-from").placeholder = Math.floor(known.tempo_from);
    $("tempo-to").placeholder = Math.ceil(known.tempo_to);
    for (const note of reading?.notes ?? []) problem({ detail: note });
  } else if (["waiting", "running"].includes(reading?.state)) {
    const { step, seconds_left: left } = reading;
    const stop = () => attempt(() => remove(`/jobs/${reading.id}`));
    $("library").replaceChildren(
      step?.total ? `Reading the music: ${step.done} of ${step.total}` : "Looking at the music …",
      left == null ? " " : `, ${Math.ceil(left)} s left `,
      element("button", { type: "button", onclick: stop }, "Cancel"),
    );
  } else {
    $("library").textContent = "No music was read.";
  }
  if (known) $("browse").hidden = !known.folders.length;
  return known;
}
