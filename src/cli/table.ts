// biome-ignore lint/suspicious/noControlCharactersInRegex: these would command the terminal.
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;

/** Rows of equal length under their headings, as text with a line at its end. Control characters are shown as `?`. */
export function renderTable(rows: readonly (readonly string[])[]): string {
  const shown = rows.map((row) => row.map(showText));
  const widths = (shown[0] ?? []).map((_, column) => Math.max(...shown.map((row) => row[column]!.length)));
  const lines = shown.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

/** Text of others, fit for a terminal. */
export function showText(text: string): string {
  return text.replace(CONTROL, '?');
}
