import { Badge } from '@mantine/core'

import type { Status } from '../api/instances'
import { useI18n } from '../i18n'

const COLORS: Record<Status, string> = {
  CREATING: 'blue',
  LOADING: 'blue',
  UPDATING: 'yellow',
  TERMINATING: 'gray',
  TERMINATED: 'gray',
  READY: 'teal',
  ERROR: 'red',
}

export function StatusBadge({ status }: { status: Status }) {
  const { t } = useI18n()
  return (
    <Badge color={COLORS[status]} variant="light" role="status">
      {t(`status.${status}`)}
    </Badge>
  )
}
