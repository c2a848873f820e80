/** What kind of failure an error is; every border maps kinds to its own codes in one table. */
export type ErrorKind =
  | "invalid"
  | "unauthenticated"
  | "forbidden"
  | "notFound"
  | "conflict"
  | "notModified"
  | "unavailable"
  | "unsupported"
  | "internal";

export interface DhowErrorOptions {
  readonly cause?: unknown;
  /** Machine-readable facts about the failure; never secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The one error type of the project: branch on `kind`, never on the text. */
export class DhowError extends Error {
  override readonly name = "DhowError";
  readonly kind: ErrorKind;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(kind: ErrorKind, message: string, options: DhowErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.details = options.details ?? {};
  }
}

/** The kind of any thrown value; what is not a DhowError (or a SysError, which carries a kind) is `internal`. */
export function errorKind(error: unknown): ErrorKind {
  if (error instanceof DhowError) return error.kind;
  if (error instanceof Error && "kind" in error && typeof error.kind === "string") return error.kind as ErrorKind;
  return "internal";
}

/** Whether `error` is of `kind`. */
export function isKind(error: unknown, kind: ErrorKind): boolean {
  return errorKind(error) === kind;
}

/** The message of any thrown value. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The errno name (`ENOENT`) of a system call's failure, from `node:fs` or from FFI; undefined when there is none. */
export function errnoCode(error: unknown): string | undefined {
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  return undefined;
}
