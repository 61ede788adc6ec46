/** What the gRPC app and its client of the tests agree upon: messages are bytes. */
export const methods = {
  unary: { path: '/weft.Test/Unary', requestStream: false, responseStream: false },
  /** Answers with the length of all that came. */
  upload: { path: '/weft.Test/Upload', requestStream: true, responseStream: false },
  /** The number asked for, of messages of 1000 bytes. */
  download: { path: '/weft.Test/Download', requestStream: false, responseStream: true },
  echo: { path: '/weft.Test/Echo', requestStream: true, responseStream: true },
  /** Never answers; whether calls of it were cancelled is what `unary` answers to "cancelled". */
  silence: { path: '/weft.Test/Silence', requestStream: false, responseStream: false },
} as const;

export const same = (bytes: Buffer): Buffer => bytes;
