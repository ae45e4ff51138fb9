import type { Worker } from '../api/cluster'
import type { Preview } from '../api/instances'

/** The device with the most free memory: an accelerator if there is one. Bytes. */
export interface Room {
  worker: string
  /** Its name; null for processors. */
  accelerator: string | null
  free: number
}

export function bestRoom(workers: Worker[]): Room | null {
  const open = workers.filter((worker) => !worker.leaving)
  const accelerators: Room[] = open.flatMap((worker) =>
    worker.accelerators.map((one) => ({
      worker: worker.address,
      accelerator: `${one.name} ${one.device}`,
      free: one.mem_free,
    })),
  )
  const processors: Room[] = open.map((worker) => ({
    worker: worker.address,
    accelerator: null,
    free: worker.processors.memory_available,
  }))
  const rooms = accelerators.length > 0 ? accelerators : processors
  return rooms.reduce<Room | null>((best, one) => (best && best.free >= one.free ? best : one), null)
}

/** What a replica takes there, in bytes. */
export function neededOn(room: Room, memory: Preview['memory']): number {
  const buffers = room.accelerator ? memory.accelerator_overhead : memory.overhead
  return memory.weights + memory.kv_cache + buffers
}
