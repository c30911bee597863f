const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `500ms`, `5s`, `2m`, `1h` in milliseconds; null for anything else. */
export function parseDurationMs(text: string): number | null {
  const match = /^([0-9]{1,9})(ms|s|m|h)$/.exec(text);
  return match ? Number(match[1]) * UNIT_MS[match[2]!]! : null;
}

/** The shortest text that `parseDurationMs` reads as the same number. */
export function formatDuration(durationMs: number): string {
  for (const unit of ['h', 'm', 's']) {
    const unitMs = UNIT_MS[unit]!;
    if (durationMs > 0 && durationMs % unitMs === 0) return `${durationMs / unitMs}${unit}`;
  }
  return `${durationMs}ms`;
}
