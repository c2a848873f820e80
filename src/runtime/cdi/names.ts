import { DhowError } from "../../lib/mod.ts";

const isLetter = (text: string): boolean => /^[A-Za-z]$/.test(text);
const isAlphanumeric = (text: string): boolean => /^[A-Za-z0-9]$/.test(text);

function invalid(message: string): DhowError {
  return new DhowError("invalid", message);
}

/** `vendor.com/class` taken apart; a text without both parts is a class without a vendor. */
export function parseKind(kind: string): { readonly vendor: string; readonly class: string } {
  const at = kind.indexOf("/");
  return at < 1 || at === kind.length - 1 ? { vendor: "", class: kind } : { vendor: kind.slice(0, at), class: kind.slice(at + 1) };
}

function checkKindPart(what: string, name: string): void {
  if (name === "") throw invalid(`invalid ${what}. empty name`);
  const quoted = JSON.stringify(name);
  if (!isLetter(name[0] ?? "")) throw invalid(`invalid ${what}. ${quoted}, should start with letter`);
  const wrong = [...name.slice(1, -1)].find((char) => !/[A-Za-z0-9_.-]/.test(char));
  if (wrong !== undefined) throw invalid(`invalid ${what}. invalid character '${wrong}' in name ${quoted}`);
  if (!isAlphanumeric(name.at(-1) ?? "")) throw invalid(`invalid ${what}. ${quoted}, should end with a letter or digit`);
}

/** Letters, digits, `_`, `-` and `.`, from a letter to a letter or digit. @throws invalid */
export function checkKind(kind: string): void {
  const parts = parseKind(kind);
  checkKindPart("vendor", parts.vendor);
  checkKindPart("class", parts.class);
}

/** Letters, digits, `_`, `-`, `.` and `:`, from a letter or digit to one. @throws invalid */
export function checkDeviceName(name: string): void {
  if (name === "") throw invalid("invalid (empty) device name");
  const quoted = JSON.stringify(name);
  if (!isAlphanumeric(name[0] ?? "")) throw invalid(`invalid class ${quoted}, should start with a letter or digit`);
  const wrong = [...name.slice(1, -1)].find((char) => !/[A-Za-z0-9_.:-]/.test(char));
  if (wrong !== undefined) throw invalid(`invalid character '${wrong}' in device name ${quoted}`);
  if (!isAlphanumeric(name.at(-1) ?? "")) throw invalid(`invalid name ${quoted}, should end with a letter or digit`);
}

/** `vendor.com/class=name`: what a device is asked for by. */
export function qualifiedName(kind: string, device: string): string {
  return `${kind}=${device}`;
}
