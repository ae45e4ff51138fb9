import { Table } from '@mantine/core'

import { useReplicas } from '../api/queries'
import { useI18n } from '../i18n'
import { ErrorAlert } from '../shell/ErrorAlert'

export function ReplicaTable({ uid }: { uid: string }) {
  const { t } = useI18n()
  const { data, error } = useReplicas(uid)
  return (
    <>
      <ErrorAlert error={error} />
      <Table.ScrollContainer
        minWidth={420}
        type="native"
        role="region"
        aria-label={t('replica.table', { uid })}
        tabIndex={0}
      >
        <Table>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t('replica.id')}</Table.Th>
              <Table.Th>{t('replica.status')}</Table.Th>
              <Table.Th>{t('replica.pid')}</Table.Th>
              <Table.Th>{t('replica.restarts')}</Table.Th>
              <Table.Th>{t('replica.error')}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {data?.map((replica) => (
              <Table.Tr key={replica.replica_id}>
                <Table.Td>{replica.replica_id}</Table.Td>
                <Table.Td>{t(`status.${replica.status}`)}</Table.Td>
                <Table.Td>{replica.pid}</Table.Td>
                <Table.Td>{replica.restarts}</Table.Td>
                <Table.Td>{replica.error_message}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </>
  )
}
