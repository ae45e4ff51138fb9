import type { ModelType } from './model-types'
import { getJson, postJson, request, sendJson } from './http'

export type Status =
  | 'CREATING'
  | 'LOADING'
  | 'UPDATING'
  | 'TERMINATING'
  | 'TERMINATED'
  | 'READY'
  | 'ERROR'

export interface ReplicaStatus {
  replica_id: number
  replica_model_uid: string
  status: Status
  error_message: string | null
  worker_address: string
  /** Bytes that it is expected to take of each device, such as `cuda:0`. */
  devices: Record<string, number>
}

/** A launched model with all its replicas. */
export interface Instance {
  model_name: string
  model_uid: string
  model_type: ModelType
  model_ability: string[]
  model_engine: string
  engine_reason: string
  model_format: string
  model_size_in_billions: number | null
  quantization: string
  replica: number
  status: Status
  error_message: string | null
  /** Seconds since 1970. */
  instance_created_ts: number
  replica_statuses: ReplicaStatus[]
}

/** What an engine says of the model that it has loaded; each says what it has. */
export interface EngineDetails {
  /** Width and height of a picture where a request does not say. */
  size?: [number, number]
  schedulers?: string[]
  languages?: string[]
  voices?: string[]
}

export interface Replica extends ReplicaStatus {
  pid: number | null
  restarts: number
  /** Missing where the replica does not answer: requests that run, that wait, and its room. */
  running?: number
  waiting?: number
  capacity?: number
  /** Since it was loaded; what is 0 is left out. */
  stats?: { prompt_tokens?: number; completion_tokens?: number }
}

export interface DownloadFile {
  name: string
  downloaded_bytes: number
  total_bytes: number
  speed_bytes_per_second: number
  eta_seconds: number | null
  status: string
  replica_id: number
}

export interface Progress {
  /** From 0 to 1. */
  progress: number
  stage: string
  download_files: DownloadFile[]
}

export interface ReplicaLog {
  replica_id: number
  lines: string[]
}

/** Fields of a launch; those that are not the launch's own are options of the engine. */
export type LaunchRequest = { model_name: string } & Record<string, unknown>

/** What a launch would come to. Sizes in bytes. */
export interface Preview {
  model_name: string
  model_type: ModelType
  model_engine: string
  engine_reason: string
  model_format: string
  model_size_in_billions: number | null
  quantization: string
  context_length: number
  size_bytes: number
  cached: boolean
  memory: { weights: number; kv_cache: number; overhead: number; accelerator_overhead: number }
  /** Why there is no room for it now. */
  lack: string | null
}

const instancePath = (uid: string) => `v1/models/${encodeURIComponent(uid)}`

export function listInstances(signal?: AbortSignal): Promise<Instance[]> {
  return getJson('v1/models/instances', signal)
}

export async function getEngineDetails(uid: string, signal?: AbortSignal): Promise<EngineDetails> {
  const model = await getJson<{ engine_details: EngineDetails }>(instancePath(uid), signal)
  return model.engine_details
}

export function getProgress(uid: string, signal?: AbortSignal): Promise<Progress> {
  return getJson(`${instancePath(uid)}/progress`, signal)
}

export function listReplicas(uid: string, signal?: AbortSignal): Promise<Replica[]> {
  return getJson(`${instancePath(uid)}/replicas`, signal)
}

export async function getLogs(uid: string, signal?: AbortSignal): Promise<ReplicaLog[]> {
  const logs = await getJson<{ replicas: ReplicaLog[] }>(`${instancePath(uid)}/logs`, signal)
  return logs.replicas
}

export async function previewLaunch(launch: LaunchRequest, signal?: AbortSignal): Promise<Preview> {
  const response = await postJson('v1/models/preview', launch, signal)
  return (await response.json()) as Preview
}

/** Asks for a launch and returns its uid at once; progress and instances tell how it goes. */
export async function launchModel(launch: LaunchRequest): Promise<string> {
  const response = await postJson('v1/models?wait_ready=false', launch)
  const { model_uid } = (await response.json()) as { model_uid: string }
  return model_uid
}

export async function cancelLaunch(uid: string): Promise<void> {
  await request(`${instancePath(uid)}/cancel`, { method: 'POST' })
}

export async function scaleModel(uid: string, replica: number): Promise<void> {
  await sendJson('PATCH', instancePath(uid), { replica })
}

export async function terminateModel(uid: string): Promise<void> {
  await request(instancePath(uid), { method: 'DELETE' })
}
