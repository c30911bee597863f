import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import {
  findOwnService,
  type ReflectionRequest,
  type ReflectionResponse,
  reflectionRequestType,
  reflectionResponseType,
} from '../../contract/own-messages.ts';
import type { DescriptorFile } from '../../contract/reflection.ts';
import { type OwnRegistration, registerOwn } from './own-service.ts';
import type { ReflectionIndex } from './reflection-index.ts';

type Stream = ServerDuplexStream<Buffer, Buffer>;
type Answer = ReflectionResponse['messageResponse'];

const SERVICES = ['grpc.reflection.v1.ServerReflection', 'grpc.reflection.v1alpha.ServerReflection'];

/**
 * grpc.reflection.v1 and v1alpha (grpc/reflection/v1/reflection.proto), which are the same on the wire. An answer with
 * a file brings what that file imports and this stream has not been sent yet, as grpc-go does: a client can link it.
 */
export class ReflectionService {
  readonly #index: ReflectionIndex;
  readonly #streams = new Set<Stream>();

  constructor(index: ReflectionIndex) {
    this.#index = index;
  }

  register(): OwnRegistration[] {
    const implementation = { ServerReflectionInfo: (stream: Stream) => this.#serve(stream) };
    return SERVICES.map((service) => registerOwn(findOwnService(service), implementation));
  }

  /** Ends all streams: clients keep theirs open for as long as they live. */
  endStreams(): void {
    for (const stream of this.#streams) stream.end();
    this.#streams.clear();
  }

  #serve(stream: Stream): void {
    const sent = new Set<string>();
    this.#streams.add(stream);
    stream.on('data', (bytes: Buffer) => this.#answer(stream, bytes, sent));
    stream.on('end', () => stream.end());
    stream.once('cancelled', () => this.#streams.delete(stream));
  }

  #answer(stream: Stream, bytes: Buffer, sent: Set<string>): void {
    const request = read(bytes);
    if (request === null) {
      stream.emit('error', { code: status.INVALID_ARGUMENT, details: 'the request is no ServerReflectionRequest' });
      return;
    }
    const messageResponse = this.#find(request, sent);
    const response = reflectionResponseType.encode({
      validHost: request.host,
      originalRequest: request,
      messageResponse,
    });
    if (stream.write(response)) return;
    // A client that asks and does not read is not read from either.
    stream.pause();
    stream.once('drain', () => stream.resume());
  }

  #find({ messageRequest: asked }: ReflectionRequest, sent: Set<string>): Answer {
    switch (asked.case) {
      case 'listServices':
        return { case: 'listServicesResponse', value: { service: this.#index.services.map((name) => ({ name })) } };
      case 'fileByFilename':
        return this.#files(this.#index.fileByName(asked.value), asked.value, sent);
      case 'fileContainingSymbol':
        return this.#files(this.#index.fileContainingSymbol(asked.value.replace(/^\./, '')), asked.value, sent);
      case 'fileContainingExtension': {
        const { containingType, extensionNumber } = asked.value;
        const file = this.#index.fileContainingExtension(containingType, extensionNumber);
        return this.#files(file, `${containingType} extension ${extensionNumber}`, sent);
      }
      case 'allExtensionNumbersOfType':
        return this.#extensionNumbers(asked.value);
      default:
        return refuse(status.INVALID_ARGUMENT, 'the request asks nothing');
    }
  }

  #files(file: DescriptorFile | null, asked: string, sent: Set<string>): Answer {
    if (!file) return refuse(status.NOT_FOUND, `not found: ${asked}`);
    const files = this.#index.withImports(file, (name) => sent.has(name));
    for (const { name } of files) sent.add(name);
    return { case: 'fileDescriptorResponse', value: { fileDescriptorProto: files.map(({ bytes }) => bytes) } };
  }

  #extensionNumbers(baseTypeName: string): Answer {
    const extensionNumber = this.#index.extensionNumbers(baseTypeName);
    if (extensionNumber === null) return refuse(status.NOT_FOUND, `not found: ${baseTypeName}`);
    return { case: 'allExtensionNumbersResponse', value: { baseTypeName, extensionNumber } };
  }
}

function refuse(errorCode: number, errorMessage: string): Answer {
  return { case: 'errorResponse', value: { errorCode, errorMessage } };
}

function read(bytes: Buffer): ReflectionRequest | null {
  try {
    return reflectionRequestType.decode(bytes);
  } catch {
    return null;
  }
}
