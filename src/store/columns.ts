type Value = string | number | bigint | boolean | Uint8Array | null;

/**
 * One column of rows as a parameter for `unnest`. Null where no row has a value there: `unnest` fills a column that is
 * missing with NULL, and nothing of it is encoded, sent or parsed.
 */
export function columnOf<Row>(rows: readonly Row[], pick: (row: Row) => Value): unknown[] | null {
  const values: unknown[] = new Array(rows.length);
  let isEmpty = true;
  for (let index = 0; index < rows.length; index++) {
    const value = pick(rows[index] as Row);
    values[index] = value;
    if (value !== null) isEmpty = false;
  }
  return isEmpty ? null : values;
}

/**
 * The same for a column that is mostly equal in all rows: then its one value is sent once. The statement takes it out of the
 * array once, in `shared`.
 */
export function sharedColumnOf<Row>(rows: readonly Row[], pick: (row: Row) => Value): unknown[] | null {
  const values = columnOf(rows, pick);
  return values?.every((value) => value === values[0]) ? values.slice(0, 1) : values;
}

/** A flag that few rows have; a missing column is read as false. */
export function flagOf<Row>(rows: readonly Row[], pick: (row: Row) => boolean): unknown[] | null {
  return columnOf(rows, (row) => (pick(row) ? true : null));
}
