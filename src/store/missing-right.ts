/** What to do where the database says that its user lacks a right: PostgreSQL names the object, and not the mend. */

/** SQLSTATE insufficient_privilege. */
export const MISSING_RIGHT = '42501';

/** By the kind of object as the server says it in English; in another language all of them are named. */
const GRANTS = {
  schema: 'GRANT USAGE ON SCHEMA sluice',
  table: 'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sluice',
  sequence: 'GRANT USAGE ON ALL SEQUENCES IN SCHEMA sluice',
  function: 'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sluice',
} as const;

const DENIED = /^permission denied for (schema|table|sequence|function|database) (.+)$/;
const MADE_BY = 'The first gateway of a version makes tables and functions: start it as the owner of schema sluice';

/**
 * The mend, as a sentence for whoever runs the database.
 * @param message the server's.
 * @param role that the connection was opened as; null where it is not known.
 */
export function adviseOnRight(message: string, role: string | null): string {
  const to = role === null ? 'the user of DATABASE_URL' : quoteName(role);
  const [, kind, name] = DENIED.exec(message) ?? [];
  if (kind === 'database')
    return `As its owner: GRANT CREATE ON DATABASE ${quoteName(name ?? '')} TO ${to}. ${MADE_BY}`;
  if (kind === undefined && /^must be owner of /.test(message)) return `${MADE_BY}, not as ${to}`;
  const grants = kind === undefined ? Object.values(GRANTS) : [GRANTS[kind as keyof typeof GRANTS]];
  const advice = `As the owner of schema sluice: ${grants.map((grant) => `${grant} TO ${to}`).join('; ')}`;
  return kind === 'schema' || kind === undefined ? `${advice}. ${MADE_BY}` : advice;
}

/** As SQL takes it; plain where it can be. */
function quoteName(name: string): string {
  return /^[a-z_][a-z0-9_$]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}
