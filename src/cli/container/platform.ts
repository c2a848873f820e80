const PART = /^[A-Za-z0-9_.-]+$/;

/** Checks `--platform`. @throws Error in docker's words */
export function checkPlatform(text: string): void {
  if (text === "") return;
  const parts = text.split("/");
  const fail = (reason: string) => {
    throw new Error(`error parsing specified platform: ${reason}: invalid argument`);
  };
  if (parts.length > 3) fail(`${JSON.stringify(text)}: cannot parse platform specifier`);
  for (const part of parts) {
    if (!PART.test(part))
      fail(
        `${JSON.stringify(part)} is an invalid component of ${JSON.stringify(text)}: platform specifier component must match "^[A-Za-z0-9_.-]+$"`,
      );
  }
}
