import type {
  NetworkConnectRequest,
  NetworkCreateRequest,
  NetworkCreateResponse,
  NetworkDisconnectRequest,
  NetworkInspect,
  NetworkSummary,
} from "../dto.ts";
import type { Filters } from "./call.ts";

export interface NetworksApi {
  list(filters: Filters): Promise<NetworkSummary[]>;
  inspect(ref: string, options: { readonly verbose: boolean; readonly scope?: string | undefined }): Promise<NetworkInspect>;
  prune(filters: Filters): Promise<{ readonly NetworksDeleted: string[] | null }>;
  create(request: NetworkCreateRequest): Promise<NetworkCreateResponse>;
  remove(ref: string): Promise<void>;
  connect(ref: string, request: NetworkConnectRequest): Promise<void>;
  disconnect(ref: string, request: NetworkDisconnectRequest): Promise<void>;
}
