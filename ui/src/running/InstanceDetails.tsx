import { Stack } from '@mantine/core'

import { Logs } from './Logs'
import { ReplicaTable } from './ReplicaTable'

interface Props {
  uid: string
  /** False where the logs are shown already. */
  withLogs: boolean
}

export function InstanceDetails({ uid, withLogs }: Props) {
  return (
    <Stack gap="sm">
      <ReplicaTable uid={uid} />
      {withLogs && <Logs uid={uid} />}
    </Stack>
  )
}
