// gRPC calls on one connection, with the message put together by hand and the answer searched, not decoded.
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { Client, credentials } from '@grpc/grpc-js';
import type { LoadClient } from './load-client.ts';

const pass = (bytes: Buffer) => bytes;

export function connectGrpc(port: number): LoadClient {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const call = (text: string) =>
    new Promise<void>((resolve, reject) => {
      client.makeUnaryRequest('/bench.v1.Echo/Echo', pass, pass, encodeRequest(text), (error, reply) => {
        if (error) reject(error);
        else if (!reply?.includes(text)) reject(new Error('the answer is not to this call'));
        else resolve();
      });
    });
  return { openCaller: async () => call, close: () => client.close() };
}

function encodeRequest(text: string): Buffer {
  const writer = new BinaryWriter().tag(1, 2).string(text).tag(2, 0).int64(42).tag(3, 2).string('one');
  return Buffer.from(writer.tag(3, 2).string('two').finish());
}
