import { errorMessage } from "../../lib/mod.ts";
import { parsePlatform } from "../../spec/oci/mod.ts";

/** Checks `--platform`; `problem` begins what its user is told. @throws Error in docker's words */
export function checkPlatform(text: string, problem: string): void {
  if (text === "") return;
  try {
    parsePlatform(text);
  } catch (error) {
    throw new Error(`${problem}: ${errorMessage(error)}`);
  }
}
