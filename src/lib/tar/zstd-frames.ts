const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;

type Expect = "magic" | "descriptor" | "block" | "skippable";

/**
 * Follows the frames of a zstd stream without unpacking it, to tell whether the stream ended inside one: Bun's decoder ends
 * without an error there.
 * @see https://www.rfc-editor.org/rfc/rfc8878#section-3
 */
export class ZstdFrames {
  #expect: Expect = "magic";
  #field: number[] = [];
  #need = 4;
  #skip = 0;
  #hasChecksum = false;

  /** Whether the bytes so far end between two frames. */
  get isComplete(): boolean {
    return this.#expect === "magic" && this.#field.length === 0 && this.#skip === 0;
  }

  /** Follows more bytes of the stream. */
  feed(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, bytes.length - at);
        this.#skip -= step;
        at += step;
        continue;
      }
      this.#field.push(bytes[at++] ?? 0);
      if (this.#field.length === this.#need) this.#advance(this.#field.reduceRight((value, byte) => value * 256 + byte, 0));
    }
  }

  #then(expect: Expect, need: number, skip = 0): void {
    this.#expect = expect;
    this.#need = need;
    this.#skip = skip;
    this.#field = [];
  }

  #advance(value: number): void {
    if (this.#expect === "magic") {
      // for any other value the decoder itself reports an error
      if (value === FRAME_MAGIC) this.#then("descriptor", 1);
      else this.#then((value & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC ? "skippable" : "magic", 4);
    } else if (this.#expect === "skippable") {
      this.#then("magic", 4, value);
    } else if (this.#expect === "descriptor") {
      const isSingleSegment = (value & 0x20) !== 0;
      this.#hasChecksum = (value & 4) !== 0;
      const contentSize = CONTENT_SIZE_BYTES[(value >> 6) as 0 | 1 | 2 | 3] || (isSingleSegment ? 1 : 0);
      this.#then("block", 3, (isSingleSegment ? 0 : 1) + DICTIONARY_ID_BYTES[(value & 3) as 0 | 1 | 2 | 3] + contentSize);
    } else {
      const size = ((value >> 1) & 3) === 1 ? 1 : value >> 3;
      if ((value & 1) === 0) this.#then("block", 3, size);
      else this.#then("magic", 4, size + (this.#hasChecksum ? 4 : 0));
    }
  }
}
