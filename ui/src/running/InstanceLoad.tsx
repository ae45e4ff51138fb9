import { Text } from '@mantine/core'

import type { Replica } from '../api/instances'
import { formatBytes } from '../format'
import { useI18n } from '../i18n'

interface Props {
  uid: string
  replicas: Replica[]
  speeds: Record<string, number>
}

/** One line: what all replicas do just now, and where they are. */
export function InstanceLoad({ uid, replicas, speeds }: Props) {
  const { t } = useI18n()
  const told = replicas.filter((one) => one.running !== undefined)
  const total = (of: (one: Replica) => number | undefined) =>
    told.reduce((sum, one) => sum + (of(one) ?? 0), 0)
  const speed = Object.values(speeds).reduce((sum, one) => sum + one, 0)
  const facts = [
    told.length > 0 && t('load.running', { count: total((one) => one.running) }),
    told.length > 0 && t('load.waiting', { count: total((one) => one.waiting) }),
    Object.keys(speeds).length > 0 && t('load.speed', { speed: speed.toFixed(1) }),
    ...Object.entries(memoryByDevice(replicas)).map(([device, memory]) =>
      memory > 0
        ? t('load.memory', { device, memory: formatBytes(memory) })
        : t('load.device', { device }),
    ),
  ].filter(Boolean)
  return (
    <Text fz="sm" role="group" aria-label={t('running.load', { uid })}>
      {facts.join(' · ')}
    </Text>
  )
}

/** Bytes; devices of the same name on several workers are told together. */
function memoryByDevice(replicas: Replica[]): Record<string, number> {
  const memory: Record<string, number> = {}
  for (const replica of replicas) {
    for (const [device, bytes] of Object.entries(replica.devices)) {
      memory[device] = (memory[device] ?? 0) + bytes
    }
  }
  return memory
}
