import type { EgressPolicy } from "../../spec/engine/mod.ts";

/** Whether a policy allows a name, in lower case without a dot at its end: it is in the list itself, or below a `*.` of it. */
export function allowsName({ domains }: Pick<EgressPolicy, "domains">, name: string): boolean {
  return domains.some((domain) =>
    domain.startsWith("*.") ? name.endsWith(domain.slice(1)) && name.length >= domain.length : name === domain,
  );
}

/** Whether a policy allows every address of a family; names are no secret then, since any server can be asked for them. */
export function allowsEverything({ networks }: Pick<EgressPolicy, "networks">): boolean {
  return networks.some((network) => network.endsWith("/0"));
}
