// The candidates as cards in a list box.

import { $, clock, element, named } from "./dom.js";

export class Cards {
  #list = $("cards");
  #moments = [];
  #choose;

  /** choose: called with a moment that a person chooses. */
  constructor(choose) {
    this.#choose = choose;
    this.#list.addEventListener("click", (event) => {
      const card = event.target.closest("[role=option]");
      if (card) this.#choose(this.#moments[Number(card.dataset.place)]);
    });
  }

  get moments() {
    return this.#moments;
  }

  /** Shows what a grounding found; null: nothing was looked for. */
  show(found) {
    this.#moments = found?.moments ?? [];
    this.#list.replaceChildren(...this.#moments.map((moment, place) => this.#card(moment, place)));
    $("confidence").className = found && !found.better_than_chance ? "warn" : "good";
    $("confidence").textContent = found ? confidence(found) : "";
  }

  /** Says why there are no cards. */
  say(why) {
    $("confidence").className = "warn";
    $("confidence").textContent = why;
  }

  /** Marks the candidate that is chosen, if the choice is one of them. */
  mark(choice) {
    let chosen = null;
    this.#moments.forEach((moment, place) => {
      const card = this.#list.children[place];
      const is = choice?.track === moment.track.id;
      card.setAttribute("aria-selected", String(is));
      const moved = is && Math.abs(choice.start - moment.start) > 0.005;
      card.classList.toggle("moved", moved);
      card.querySelector("b").textContent = span(moved ? choice : moment);
      if (is) chosen = card;
    });
    if (chosen) {
      this.#list.setAttribute("aria-activedescendant", chosen.id);
      chosen.scrollIntoView({ block: "nearest" });
    } else {
      this.#list.removeAttribute("aria-activedescendant");
    }
  }

  /** The candidate `step` places from the chosen one; undefined where there is none. */
  beside(choice, step) {
    const place = this.#moments.findIndex((moment) => moment.track.id === choice?.track);
    return this.#moments[place < 0 ? 0 : place + step];
  }

  #card(moment, place) {
    const { track } = moment;
    const tempo = track.tempo ? `${Math.round(track.tempo)} bpm` : "no beat";
    const also = moment.also_as.length ? ` (also ${moment.also_as.join(", ")})` : "";
    return element(
      "li",
      { role: "option", id: `card-${place}`, "data-place": place, "aria-selected": "false" },
      element("p", { class: "card-title" }, `${moment.rank}. `, named(track.name), also),
      element("p", {}, element("b", {}, span(moment)), ` of ${clock(track.duration, 0)}, ${tempo}`),
      element("p", { class: "why of-moment" }, moment.why),
      ...(track.licence ? [element("p", { class: "why" }, `Licence: ${track.licence}`)] : []),
      element("p", { class: "tags" }, ...track.tags.map((tag) => element("span", {}, tag))),
    );
  }
}

function span({ start, end }) {
  return `${clock(start)}–${clock(end)}`;
}

function confidence(found) {
  if (found.chance === null) return "Too few tracks to say whether the best is better than chance.";
  if (found.better_than_chance) return "The best one fits better than chance.";
  return "No track fits better than chance: take the order as a guess, and listen.";
}
