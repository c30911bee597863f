import { create, createFileRegistry, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  FileDescriptorSetSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';
import { protobufCodec } from '../src/protobuf-codec.ts';

const METHOD = 'shop.v1.Shop/Buy';
const PROTOBUF = 'application/protobuf';

const set = create(FileDescriptorSetSchema, {
  file: [
    {
      name: 'shop.proto',
      package: 'shop.v1',
      syntax: 'proto3',
      messageType: [
        {
          name: 'Order',
          field: [
            { name: 'sku', number: 1, type: Type.STRING, label: Label.OPTIONAL, jsonName: 'sku' },
            { name: 'price_cents', number: 2, type: Type.INT64, label: Label.OPTIONAL, jsonName: 'priceCents' },
          ],
        },
      ],
      service: [{ name: 'Shop', method: [{ name: 'Buy', inputType: '.shop.v1.Order', outputType: '.shop.v1.Order' }] }],
    },
  ],
});
const bytes = toBinary(FileDescriptorSetSchema, set);
const registry = createFileRegistry(set);
const order = registry.getMessage('shop.v1.Order')!;
const binary = toBinary(order, create(order, { sku: 'BOOK', priceCents: 5n }));

describe('typed values', () => {
  test('a binary command reaches the handler as canonical JSON, and its answer goes back in binary', () => {
    const codec = protobufCodec(bytes);
    expect(codec.decodeRequest(METHOD, { contentType: PROTOBUF, value: binary })).toEqual({
      sku: 'BOOK',
      priceCents: '5',
    });
    const encoded = codec.encodeResponse(METHOD, { sku: 'PEN', priceCents: '7' }, PROTOBUF);
    expect(encoded.contentType).toBe(PROTOBUF);
    expect(fromBinary(order, encoded.value!)).toMatchObject({ sku: 'PEN', priceCents: 7n });
  });

  test('with shape `message` handlers see and return messages', () => {
    const codec = protobufCodec(registry, { shape: 'message' });
    const request = codec.decodeRequest(METHOD, { contentType: PROTOBUF, value: binary });
    expect(request).toMatchObject({ $typeName: 'shop.v1.Order', priceCents: 5n });
    expect(codec.encodeResponse(METHOD, request, PROTOBUF).value).toEqual(binary);
  });

  test('a JSON command is checked by type and answered in JSON; fields of a newer contract are passed over', () => {
    const codec = protobufCodec(bytes);
    const json = (text: string) => ({ contentType: 'application/json', value: new TextEncoder().encode(text) });
    expect(codec.decodeRequest(METHOD, json('{"sku":"BOOK","new":1}'))).toEqual({ sku: 'BOOK' });
    expect(() => codec.decodeRequest(METHOD, json('{"sku":1}'))).toThrow('no shop.v1.Order');
    expect(codec.encodeResponse(METHOD, { sku: 'PEN' }, 'application/json').contentType).toBe('application/json');
  });

  test('broken bytes are INVALID_ARGUMENT, an unknown method or content type UNIMPLEMENTED', () => {
    const codec = protobufCodec(bytes);
    const code = (method: string, contentType: string) => {
      try {
        return codec.decodeRequest(method, { contentType, value: new Uint8Array([0xff]) });
      } catch (error) {
        return (error as { code?: string }).code;
      }
    };
    expect(code(METHOD, PROTOBUF)).toBe('INVALID_ARGUMENT');
    expect(code('shop.v1.Shop/Steal', PROTOBUF)).toBe('UNIMPLEMENTED');
    expect(code(METHOD, 'application/avro')).toBe('UNIMPLEMENTED');
  });
});
