/** The chunks of an archive; `close` is called once, when they end, fail, or are given up, also before the first. */
export function closing(archive: AsyncIterable<Uint8Array>, close: () => void): AsyncIterable<Uint8Array> {
  const chunks = archive[Symbol.asyncIterator]();
  const next = async (): Promise<IteratorResult<Uint8Array, void>> => {
    try {
      const result = await chunks.next();
      if (result.done) close();
      return result;
    } catch (error) {
      close();
      throw error;
    }
  };
  const end = async (): Promise<IteratorResult<Uint8Array, void>> => {
    await chunks.return?.();
    close();
    return { done: true, value: undefined };
  };
  return { [Symbol.asyncIterator]: () => ({ next, return: end }) };
}
