import { getJson, request } from './http'

interface Accelerator {
  device: string
  name: string
  mem_total: number
  mem_free: number
  mem_used: number
  /** 0 to 100; null where the driver does not tell. */
  gpu_util: number | null
  problem: string
}

interface Processors {
  /** From 0 to 1. */
  usage: number
  total: number
  memory_used: number
  memory_available: number
  memory_total: number
}

/** What one worker has, as /status tells it: `cpu`, and a `gpu-N` for each accelerator. */
interface WorkerStatus {
  status: { cpu: Processors } & Record<`gpu-${number}`, Accelerator>
  problems: string[]
}

interface WorkerEntry {
  'work-ip': string
  models: Record<string, { model_uid: string }>
  state: 'READY' | 'LEAVING'
  labels: Record<string, string>
  version: string
}

export interface Worker {
  address: string
  leaving: boolean
  version: string
  labels: Record<string, string>
  /** Uids of the models that have a replica here, one for each replica. */
  models: string[]
  processors: Processors
  accelerators: Accelerator[]
  problems: string[]
}

export interface Cluster {
  /** Seconds. */
  uptime: number
  workers: Worker[]
}

export interface ClusterEvent {
  event_type: 'INFO' | 'WARNING' | 'ERROR'
  /** Seconds since 1970. */
  event_ts: number
  event_content: string
}

export async function getCluster(signal?: AbortSignal): Promise<Cluster> {
  const [status, entries] = await Promise.all([
    getJson<{ uptime: number; workers: Record<string, WorkerStatus> }>('status', signal),
    getJson<WorkerEntry[]>('v1/workers', signal),
  ])
  return {
    uptime: status.uptime,
    // A worker that joined or left between the two answers is told by the next ones.
    workers: entries.flatMap((entry) => toWorker(entry, status.workers[entry['work-ip']]) ?? []),
  }
}

function toWorker(entry: WorkerEntry, node: WorkerStatus | undefined): Worker | null {
  if (!node) return null
  const { cpu, ...others } = node.status
  return {
    address: entry['work-ip'],
    leaving: entry.state === 'LEAVING',
    version: entry.version,
    labels: entry.labels,
    models: Object.values(entry.models).map(({ model_uid }) => model_uid),
    processors: cpu,
    accelerators: Object.values(others),
    problems: node.problems,
  }
}

export function listEvents(signal?: AbortSignal): Promise<ClusterEvent[]> {
  return getJson('v1/cluster/events', signal)
}

export async function drainWorker(address: string): Promise<void> {
  await request(`v1/workers/${encodeURIComponent(address)}/drain`, { method: 'POST' })
}
