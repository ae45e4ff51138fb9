import { Badge, Button, Collapse, Group, Paper, Stack, Text, Title } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useId } from 'react'

import type { Instance } from '../api/models'
import { isPending } from '../api/queries'
import { useI18n } from '../i18n'
import { CopyButton } from '../shell/CopyButton'
import { ErrorAlert } from '../shell/ErrorAlert'
import { InstanceActions } from './InstanceActions'
import { InstanceDetails } from './InstanceDetails'
import { LaunchProgress } from './LaunchProgress'
import { Logs } from './Logs'
import { StatusBadge } from './StatusBadge'

export function InstanceCard({ instance }: { instance: Instance }) {
  const { t, language } = useI18n()
  const [open, { toggle }] = useDisclosure(false)
  const details = useId()
  const { model_uid: uid, status, replica } = instance
  const failed = status === 'ERROR'
  return (
    <Paper component="article" withBorder p="md" aria-label={uid}>
      <Stack gap="sm">
        <Group justify="space-between" align="flex-start" gap="sm">
          <div>
            <Group gap={6}>
              <Title order={2} fz="lg" ff="monospace" style={{ overflowWrap: 'anywhere' }}>
                {uid}
              </Title>
              <CopyButton text={uid} />
              <StatusBadge status={status} />
            </Group>
            <Text fz="sm" c="dimmed">
              {[
                instance.model_name,
                replica === 1
                  ? t('running.replicas.one')
                  : t('running.replicas.many', { count: replica }),
                t('running.since', { time: formatTime(instance.instance_created_ts, language) }),
              ].join(' · ')}
            </Text>
          </div>
          <InstanceActions instance={instance} />
        </Group>
        {isPending(instance) && <LaunchProgress uid={uid} />}
        {errors(instance).map((message) => (
          <ErrorAlert key={message} error={new Error(message)} />
        ))}
        {failed && <Logs uid={uid} />}
        <Group justify="space-between" gap="xs">
          <Group gap={6}>
            {instance.model_ability.map((ability) => (
              <Badge key={ability} variant="light">
                {ability}
              </Badge>
            ))}
          </Group>
          <Button
            variant="subtle"
            size="compact-sm"
            aria-label={t('running.details.uid', { uid })}
            aria-expanded={open}
            aria-controls={details}
            onClick={toggle}
          >
            {t('running.details')}
          </Button>
        </Group>
        <Collapse expanded={open} id={details}>
          {open && <InstanceDetails uid={uid} withLogs={!failed} />}
        </Collapse>
      </Stack>
    </Paper>
  )
}

/** What the model and its replicas complain about, each complaint once. */
function errors(instance: Instance): string[] {
  const messages = instance.replica_statuses.flatMap(({ error_message }) => error_message ?? [])
  return [...new Set(instance.error_message ? [instance.error_message, ...messages] : messages)]
}

function formatTime(seconds: number, language: string): string {
  const format = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' })
  return format.format(seconds * 1000)
}
