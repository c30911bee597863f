// The floor for gRPC: what grpc-js and kafkajs cost with the message's bytes passed through as they are.
import { type handleUnaryCall, Server, ServerCredentials, type ServiceError, status } from '@grpc/grpc-js';
import { connectCalls, stopOnSignal } from './kafka-calls.ts';

const pass = (bytes: Buffer) => bytes;
const definition = {
  Echo: {
    path: '/bench.v1.Echo/Echo',
    requestStream: false as const,
    responseStream: false as const,
    requestSerialize: pass,
    requestDeserialize: pass,
    responseSerialize: pass,
    responseDeserialize: pass,
  },
};

const call = await connectCalls();
const echo: handleUnaryCall<Buffer, Buffer> = ({ request }, answer) => {
  call(request).then(
    (reply) => answer(null, reply),
    (error: Error) => answer({ code: status.UNAVAILABLE, details: error.message } as ServiceError),
  );
};

const server = new Server();
server.addService(definition, { Echo: echo });
server.bindAsync(`127.0.0.1:${process.env['GRPC_PORT']}`, ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
});
stopOnSignal();
