export { SocketLimits } from "./limits.ts";
export { keptSockets, noSockets, type ServedSocket, type SocketAddress, Sockets } from "./sockets.ts";
