// HTTP/1.1 on bare sockets, one keep-alive connection a caller: Node's own client costs as much CPU as the gateway
// under test, with which it would share the cores.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type LoadClient, type MakeCall, Refused } from './load-client.ts';

/** What a call asks for: its reply, or with `respond-async` a 202 that says where the operation is. */
export type RestMode = 'await' | 'respond-async';

export function connectRest(port: number, mode: RestMode = 'await'): LoadClient {
  const sockets: Socket[] = [];
  return {
    openCaller: async () => {
      const socket = connect({ host: '127.0.0.1', port, noDelay: true });
      await once(socket, 'connect');
      sockets.push(socket);
      return createCaller(socket, port, mode);
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
}

function createCaller(socket: Socket, port: number, mode: RestMode): MakeCall {
  let received = '';
  let settle: ((error: Error | null) => void) | undefined;
  let expected = '';
  // Every answer of the benchmark is ASCII, so a character is a byte.
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => {
    received += chunk;
    const answer = readAnswer(received);
    if (answer === null) return;
    received = '';
    const good = mode === 'await' ? isReply(answer, expected) : isPromise(answer);
    settle?.(good ? null : describeBadAnswer(answer));
  });
  const fail = () => settle?.(new Error('the gateway closed the connection'));
  socket.on('close', fail);
  socket.on('error', fail);
  return (text) =>
    new Promise((resolve, reject) => {
      expected = text;
      settle = (error) => (error ? reject(error) : resolve());
      socket.write(renderRequest(text, port, mode));
    });
}

interface RestReply {
  status: number;
  head: string;
  body: string;
}

function isReply({ status, body }: RestReply, text: string): boolean {
  return status === 200 && body.includes(text);
}

function isPromise({ status, head }: RestReply): boolean {
  return status === 202 && /\r\nlocation: *\/operations\/[0-9a-f-]{36}\r\n/i.test(`${head}\r\n`);
}

function describeBadAnswer({ status, head, body }: RestReply): Error {
  const retryAfter = /\r\nretry-after: *(\d+)/i.exec(head);
  return status === 503 && retryAfter ? new Refused(Number(retryAfter[1])) : new Error(`${status} ${body}`);
}

function renderRequest(text: string, port: number, mode: RestMode): string {
  const body = `{"text":"${text}","number":"42","tags":["one","two"]}`;
  const head = `POST /echo HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\n`;
  const preference = mode === 'await' ? '' : 'prefer: respond-async\r\n';
  return `${head}${preference}content-length: ${body.length}\r\n\r\n${body}`;
}

/** The answer, or null while it is not all here. */
function readAnswer(received: string): RestReply | null {
  const headEnd = received.indexOf('\r\n\r\n');
  if (headEnd < 0) return null;
  const head = received.slice(0, headEnd);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head);
  if (!length) throw new Error(`an answer without content-length: ${head}`);
  const body = received.slice(headEnd + 4);
  return body.length < Number(length[1]) ? null : { status: Number(head.slice(9, 12)), head, body };
}
