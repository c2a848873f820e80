export { noSockets, type ServedSocket, type SocketAddress, Sockets } from "./sockets.ts";
