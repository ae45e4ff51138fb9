import { getJson, postJson, request } from './http'

export interface ModelSpec {
  /** Empty where the model has no files. */
  model_format: string | null
  model_size_in_billions: number | string | null
  quantization: string | null
  cache_status: boolean | boolean[] | null
}

/** An entry of the catalogue. */
export interface CatalogueModel {
  model_name: string
  model_description: string | null
  model_lang: string[]
  model_ability: string[]
  context_length: number | null
  is_builtin: boolean
  model_specs: ModelSpec[]
}

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
  status: Status
  error_message: string | null
}

/** A launched model with all its replicas. */
export interface Instance {
  model_name: string
  model_uid: string
  model_ability: string[]
  replica: number
  status: Status
  error_message: string | null
  /** Seconds since 1970. */
  instance_created_ts: number
  replica_statuses: ReplicaStatus[]
}

export interface Replica extends ReplicaStatus {
  pid: number | null
  restarts: number
}

export interface Progress {
  /** From 0 to 1. */
  progress: number
  stage: string
}

export interface ReplicaLog {
  replica_id: number
  lines: string[]
}

export interface LaunchRequest {
  /** A name from the catalogue, or the path of a file on the server. */
  model_name: string
  model_uid?: string
  replica?: number
}

const instancePath = (uid: string) => `v1/models/${encodeURIComponent(uid)}`

export function listCatalogue(signal?: AbortSignal): Promise<CatalogueModel[]> {
  return getJson('v1/model_registrations/LLM?detailed=true', signal)
}

export function listInstances(signal?: AbortSignal): Promise<Instance[]> {
  return getJson('v1/models/instances', signal)
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

/** Asks for a launch and returns its uid at once; progress and instances tell how it goes. */
export async function launchModel(launch: LaunchRequest): Promise<string> {
  const response = await postJson('v1/models?wait_ready=false', launch)
  const { model_uid } = (await response.json()) as { model_uid: string }
  return model_uid
}

export async function cancelLaunch(uid: string): Promise<void> {
  await request(`${instancePath(uid)}/cancel`, { method: 'POST' })
}

export async function terminateModel(uid: string): Promise<void> {
  await request(instancePath(uid), { method: 'DELETE' })
}
