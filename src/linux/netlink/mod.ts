export * from "./addresses.ts";
export * from "./conntrack.ts";
export * from "./message.ts";
export * from "./netns.ts";
export * from "./nft-rules.ts";
export * from "./nftables.ts";
export * from "./rtnetlink.ts";
export * from "./socket.ts";
