// A REST caller over a real socket.
export interface RestCallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON. */
  readonly body?: object | string | Uint8Array<ArrayBuffer>;
  readonly signal?: AbortSignal;
}

export interface RestAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body where it is JSON of any kind, else undefined. */
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is what a test looks at.
  readonly body: any;
}

export class RestCaller {
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<RestAnswer> {
    return this.call('GET', path, { headers });
  }

  post(path: string, body: object, headers: Readonly<Record<string, string>> = {}): Promise<RestAnswer> {
    return this.call('POST', path, { headers, body });
  }

  /** A path, or a whole URL as a link gives it. */
  async call(method: string, path: string, { headers = {}, body, signal }: RestCallOptions = {}): Promise<RestAnswer> {
    const isObject = typeof body === 'object' && !(body instanceof Uint8Array);
    const response = await fetch(new URL(path, this.url), {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: isObject ? JSON.stringify(body) : body }),
      ...(signal ? { signal } : {}),
    });
    const text = await response.text();
    const isJson = /\bjson\b/.test(response.headers.get('content-type') ?? '') && text !== '';
    return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : undefined };
  }

  /** Asks the status resource until the operation is done. */
  async follow(id: string): Promise<RestAnswer> {
    for (;;) {
      const answer = await this.get(`/operations/${id}`, { prefer: 'wait=20' });
      if (answer.status !== 200 || answer.body.done) return answer;
    }
  }
}
