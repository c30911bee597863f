// What is no HTTP request, or one that is not to be trusted.
import fc from 'fast-check';

const BODY = '{"text":"a"}';
const head = (lines: readonly string[], behind = '') => `${lines.join('\r\n')}\r\n\r\n${behind}`;
const POST = ['POST /v1/do HTTP/1.1', 'Host: a', 'Content-Type: application/json'];

/** Bytes as they go into the socket. */
export const badHttp: fc.Arbitrary<Buffer> = fc.oneof(
  fc
    .constantFrom(
      head(['POST /v1/do', 'Host: a']),
      head(['POST /v1/do HTTP/9.9', 'Host: a']),
      head(['POST /v1/do HTTP/2.0', 'Host: a']),
      head(['GRIND /v1/do HTTP/1.1', 'Host: a']),
      head(['POST v1/do HTTP/1.1', 'Host: a', 'Content-Length: 0']),
      head(['POST /v1/d\\o HTTP/1.1', 'Host: a', 'Content-Length: 0']),
      head(['GET /v1/things/a#b HTTP/1.1', 'Host: a']),
      head(['POST /v1/do HTTP/1.1', 'Content-Type: application/json', 'Content-Length: 12'], BODY),
      head(['POST /v1/do HTTP/1.1', 'Host: a b', 'Content-Length: 12'], BODY),
      head([...POST, 'Content-Length: 12', 'Content-Length: 13'], BODY),
      head([...POST, 'Content-Length: -1'], BODY),
      head([...POST, 'Content-Length: 12', 'Transfer-Encoding: chunked'], BODY),
      head([...POST, 'Transfer-Encoding: chunked'], 'zz\r\n{}\r\n0\r\n\r\n'),
      head([...POST, 'X-A\0: b', 'Content-Length: 12'], BODY),
      head([...POST, 'X-A: a\0b', 'Content-Length: 12'], BODY),
      head([...POST, 'X A: b', 'Content-Length: 12'], BODY),
      head([...POST, ': b', 'Content-Length: 12'], BODY),
      head([...POST, 'Expect: cake', 'Content-Length: 12'], BODY),
    )
    .map((text) => Buffer.from(text, 'latin1')),
  fc
    .uint8Array({ minLength: 1, maxLength: 40 })
    .map((bytes) => Buffer.concat([Buffer.from([0x01]), bytes, Buffer.from('\r\n\r\n')])),
  fc
    .constantFrom(0x80, 0xff, 0xc3, 0x7f, 0x01)
    .map((byte) =>
      Buffer.concat([
        Buffer.from('GET /v1/things/a'),
        Buffer.from([byte]),
        Buffer.from(' HTTP/1.1\r\nHost: a\r\n\r\n'),
      ]),
    ),
);
