// What the page does, as a command.

/** The command that renders a clip with its choice. */
export function command({ choice, track, name }) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''").replace(/^-/, "./-")}'`;
  const own = choice.keep_audio ? ` --keep-audio --own-gain ${choice.own_gain}` : "";
  const [start, end] = [choice.start, choice.end].map((time) => Number(time.toFixed(4)));
  return `mgsv render ${quoted(name)} ${quoted(track.name)} --start ${start} --end ${end}${own}`;
}
