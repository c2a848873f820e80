/** The JSON values of a stream that holds one per line (or just one after the other's line end). */
export async function* jsonLines<T>(source: AsyncIterable<Uint8Array>, parse: (line: string) => T = JSON.parse): AsyncGenerator<T> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of source) {
    rest += decoder.decode(chunk, { stream: true });
    let start = 0;
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n", start)) {
      const line = rest.slice(start, end).trim();
      start = end + 1;
      if (line !== "") yield parse(line);
    }
    rest = rest.slice(start);
  }
  if (rest.trim() !== "") yield parse(rest);
}
