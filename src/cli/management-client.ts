/** A gateway's management port, as the command line asks it. */
import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

export interface ManagementAnswer {
  readonly status: number;
  readonly text: string;
}

/** Nothing listens at the address. */
export class NobodyListens extends Error {
  override readonly name = 'NobodyListens';
}

const MAX_ANSWER_BYTES = 256 * 1024 * 1024;

/**
 * Not `fetch`, which gives up after five minutes of silence: a rebuild may think longer.
 * @param timeoutMs for the whole answer; null: as long as it takes.
 * @throws NobodyListens, or what the connection ended with.
 */
export async function askManagement(
  base: URL,
  asked: { readonly method: 'GET' | 'POST'; readonly target: string; readonly timeoutMs: number | null },
): Promise<ManagementAnswer> {
  const url = new URL(base.pathname.replace(/\/$/, '') + asked.target, base);
  const signal = asked.timeoutMs === null ? undefined : AbortSignal.timeout(asked.timeoutMs);
  try {
    const response = await send(url, asked.method, signal);
    return { status: response.statusCode ?? 0, text: await readText(response) };
  } catch (error) {
    if (signal?.aborted)
      throw new Error(`${base.origin} does not answer within ${asked.timeoutMs} ms`, { cause: error });
    if ((error as { code?: unknown }).code !== 'ECONNREFUSED') throw describe(base, error);
    throw new NobodyListens(`nobody listens at ${base.origin}`, { cause: error });
  }
}

function describe(base: URL, error: unknown): Error {
  const { message, code } = error as { message?: string; code?: string };
  return new Error(`${base.origin} cannot be asked: ${message || code}`, { cause: error });
}

/** The content type says that no form of a web page sent this; the port takes no change without it. */
function send(url: URL, method: string, signal: AbortSignal | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { accept: 'application/json', ...(method === 'POST' && { 'content-type': 'application/json' }) };
    const options = { method, headers, agent: false as const, ...(signal && { signal }) };
    const request: ClientRequest = url.protocol === 'https:' ? requestHttps(url, options) : requestHttp(url, options);
    request.once('response', resolve).once('error', reject).end();
  });
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_ANSWER_BYTES) throw new Error(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
