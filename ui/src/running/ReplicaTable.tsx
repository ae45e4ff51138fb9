import { Table } from '@mantine/core'

import type { Replica } from '../api/instances'
import { formatBytes } from '../format'
import { useI18n } from '../i18n'

interface Props {
  uid: string
  replicas: Replica[]
  speeds: Record<string, number>
}

export function ReplicaTable({ uid, replicas, speeds }: Props) {
  const { t } = useI18n()
  const withErrors = replicas.some((one) => one.error_message)
  const withSpeeds = Object.keys(speeds).length > 0
  const columns = [
    'id',
    'status',
    'worker',
    'device',
    'memory',
    'running',
    'waiting',
    ...(withSpeeds ? (['speed'] as const) : []),
    'pid',
    'restarts',
    ...(withErrors ? (['error'] as const) : []),
  ] as const
  return (
    <Table.ScrollContainer
      minWidth={720}
      type="native"
      role="region"
      aria-label={t('replica.table', { uid })}
      tabIndex={0}
    >
      <Table>
        <Table.Thead>
          <Table.Tr>
            {columns.map((column) => (
              <Table.Th key={column}>{t(`replica.${column}`)}</Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {replicas.map((one) => (
            <Table.Tr key={one.replica_id}>
              <Table.Td>{one.replica_id}</Table.Td>
              <Table.Td>{t(`status.${one.status}`)}</Table.Td>
              <Table.Td>{one.worker_address}</Table.Td>
              <Table.Td>{Object.keys(one.devices).join(', ')}</Table.Td>
              <Table.Td>{memoryOf(one)}</Table.Td>
              <Table.Td>{one.running}</Table.Td>
              <Table.Td>{one.waiting}</Table.Td>
              {withSpeeds && (
                <Table.Td>{speeds[one.replica_model_uid]?.toFixed(1)}</Table.Td>
              )}
              <Table.Td>{one.pid}</Table.Td>
              <Table.Td>{one.restarts}</Table.Td>
              {withErrors && <Table.Td>{one.error_message}</Table.Td>}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  )
}

/** What it is expected to take of its devices; nothing where that is not known. */
function memoryOf({ devices }: Replica): string {
  const bytes = Object.values(devices).reduce((total, one) => total + one, 0)
  return bytes > 0 ? formatBytes(bytes) : ''
}
