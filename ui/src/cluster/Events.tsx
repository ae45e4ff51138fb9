import { Badge, Group, Stack, Text, Title } from '@mantine/core'

import type { ClusterEvent } from '../api/cluster'
import { useEvents } from '../api/queries'
import { formatTime } from '../format'
import { useI18n } from '../i18n'
import { ErrorAlert } from '../shell/ErrorAlert'

const SHOWN = 50
const COLORS: Record<ClusterEvent['event_type'], string> = {
  INFO: 'gray',
  WARNING: 'yellow',
  ERROR: 'red',
}

/** The newest first. */
export function Events() {
  const { t, language } = useI18n()
  const { data, error } = useEvents()
  return (
    <section aria-labelledby="events-title">
      <Title order={2} fz="h3" id="events-title" mb="sm">
        {t('cluster.events')}
      </Title>
      <ErrorAlert error={error} />
      {data?.length === 0 && <Text c="dimmed">{t('cluster.events.none')}</Text>}
      <Stack component="ul" gap={6} p={0} m={0} style={{ listStyle: 'none' }}>
        {data
          ?.slice(-SHOWN)
          .reverse()
          .map((event, index) => (
            <Group component="li" key={index} gap="xs" align="flex-start" wrap="nowrap">
              <Badge color={COLORS[event.event_type]} variant="light" size="sm" w={80} flex="none">
                {event.event_type}
              </Badge>
              <Text fz="sm" c="dimmed" flex="none">
                {formatTime(event.event_ts, language)}
              </Text>
              <Text fz="sm" lang="en" style={{ overflowWrap: 'anywhere' }}>
                {event.event_content}
              </Text>
            </Group>
          ))}
      </Stack>
    </section>
  )
}
