// The rows of a recorded operation, written in batches: one statement, so one round trip and one transaction, a batch.
// The columns are those that Sluice fills for such an operation; keys and no other index.
import pg from 'pg';

export interface Accepted {
  id: string;
  key: Buffer;
  headers: Buffer;
  value: Buffer;
  atMs: number;
}

export interface Settled {
  id: string;
  offset: bigint;
  value: Buffer;
  atMs: number;
}

const timeoutMs = 60_000;

const schema = `
create schema floor;
create table floor.operation (
  id uuid primary key, command text not null, principal text not null, state text not null, version integer not null,
  created_at timestamptz not null, updated_at timestamptz not null, deadline timestamptz not null,
  retained_until timestamptz,
  record_topic text not null, record_key bytea not null, record_headers bytea not null, record_value bytea not null,
  claimed_by text, result_value bytea, result_headers text
) with (fillfactor = 80);
create table floor.operation_event (
  operation_id uuid not null, number integer not null, type text not null, at timestamptz not null,
  data text, payload bytea, reply_topic text, reply_partition integer, reply_offset bigint,
  primary key (operation_id, number)
);
create table floor.lease (
  topic text not null, partition integer not null, next_offset bigint not null, primary key (topic, partition)
) with (fillfactor = 30);`;

const insert = `
with n as materialized (
  select id, key, headers, value, to_timestamp(at_ms / 1000) as at
  from unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[], $5::float8[]) as n(id, key, headers, value, at_ms)
), operations as (
  insert into floor.operation (id, command, principal, state, version, created_at, updated_at, deadline, record_topic,
    record_key, record_headers, record_value, claimed_by)
  select n.id, $6, '', 'accepted', 1, n.at, n.at, n.at + interval '5 minutes', $7, n.key, n.headers, n.value, $8 from n
)
insert into floor.operation_event (operation_id, number, type, at) select n.id, 1, 'accepted', n.at from n`;

// A reply whose lease row is not where we think is not settled: then no row is counted.
const settle = `
with moved as materialized (
  update floor.lease set next_offset = $6 where topic = $4 and partition = 0 and next_offset = $5 returning partition
), s as materialized (
  select id, log_offset, value, to_timestamp(at_ms / 1000) as at
  from unnest($1::uuid[], $2::int8[], $3::bytea[], $7::float8[]) as s(id, log_offset, value, at_ms), moved
), operations as (
  update floor.operation o set state = 'succeeded', version = 2, updated_at = s.at,
    retained_until = s.at + interval '7 days', result_value = s.value, result_headers = '[]'
  from s where o.id = s.id
)
insert into floor.operation_event (operation_id, number, type, at, data, payload, reply_topic, reply_partition, reply_offset)
select s.id, 2, 'succeeded', s.at, $8, s.value, $4, 0, s.log_offset from s`;

const resultData = JSON.stringify({ result: { contentType: null, httpStatus: null, headers: [] } });

export class RecordedStore {
  readonly #pool: pg.Pool;
  readonly #names: { command: string; commandTopic: string; replyTopic: string };
  readonly #owner = String(process.pid);
  #nextOffset = 0n;

  constructor(url: string, names: { command: string; commandTopic: string; replyTopic: string }) {
    this.#pool = new pg.Pool({ connectionString: url, max: 4, query_timeout: timeoutMs });
    this.#names = names;
  }

  async create(): Promise<void> {
    await this.#pool.query(schema);
    await this.#pool.query('insert into floor.lease values ($1, 0, 0)', [this.#names.replyTopic]);
  }

  async insert(batch: Accepted[]): Promise<void> {
    await this.#pool.query(insert, [
      batch.map(({ id }) => id),
      batch.map(({ key }) => key),
      batch.map(({ headers }) => headers),
      batch.map(({ value }) => value),
      batch.map(({ atMs }) => atMs),
      this.#names.command,
      this.#names.commandTopic,
      this.#owner,
    ]);
  }

  /** In the order of the log, one batch at a time. */
  async settle(batch: Settled[]): Promise<void> {
    const nextOffset = batch.at(-1)!.offset + 1n;
    const { rowCount } = await this.#pool.query(settle, [
      batch.map(({ id }) => id),
      batch.map(({ offset }) => offset),
      batch.map(({ value }) => value),
      this.#names.replyTopic,
      this.#nextOffset,
      nextOffset,
      batch.map(({ atMs }) => atMs),
      resultData,
    ]);
    if (rowCount !== batch.length) throw new Error(`${rowCount} of ${batch.length} replies were settled`);
    this.#nextOffset = nextOffset;
  }
}
