import { Badge, Button, Collapse, Group, Paper, Stack, Text, Title } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useId } from 'react'

import type { Instance } from '../api/instances'
import { isPending, useReplicas } from '../api/queries'
import { formatParameters, formatTime } from '../format'
import { useI18n } from '../i18n'
import { CopyButton } from '../shell/CopyButton'
import { ErrorAlert } from '../shell/ErrorAlert'
import { InstanceActions } from './InstanceActions'
import { InstanceDetails } from './InstanceDetails'
import { InstanceLoad } from './InstanceLoad'
import { LaunchProgress } from './LaunchProgress'
import { Logs } from './Logs'
import { useSpeeds } from './speed'
import { StatusBadge } from './StatusBadge'

export function InstanceCard({ instance }: { instance: Instance }) {
  const { t } = useI18n()
  const [open, { toggle }] = useDisclosure(false)
  const details = useId()
  const { model_uid: uid, status } = instance
  const replicas = useReplicas(uid)
  const speeds = useSpeeds(instance.model_type, replicas.data, replicas.dataUpdatedAt)
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
            <InstanceFacts instance={instance} />
          </div>
          <InstanceActions instance={instance} />
        </Group>
        {isPending(instance) && <LaunchProgress uid={uid} />}
        {errors(instance).map((message) => (
          <ErrorAlert key={message} error={new Error(message)} />
        ))}
        {status === 'ERROR' && <Logs uid={uid} />}
        {status === 'READY' && replicas.data && (
          <InstanceLoad uid={uid} replicas={replicas.data} speeds={speeds} />
        )}
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
            ml="auto"
            aria-label={t('running.details.uid', { uid })}
            aria-expanded={open}
            aria-controls={details}
            onClick={toggle}
          >
            {t('running.details')}
          </Button>
        </Group>
        <Collapse expanded={open} id={details}>
          {open && (
            <InstanceDetails instance={instance} replicas={replicas.data ?? []} speeds={speeds} />
          )}
        </Collapse>
      </Stack>
    </Paper>
  )
}

function InstanceFacts({ instance }: { instance: Instance }) {
  const { t, language } = useI18n()
  const { replica, model_size_in_billions: size } = instance
  const facts = [
    instance.model_name,
    instance.model_engine,
    instance.model_format,
    size && formatParameters(size, language),
    instance.quantization !== 'none' && instance.quantization,
    replica === 1 ? t('running.replicas.one') : t('running.replicas.many', { count: replica }),
    t('running.since', { time: formatTime(instance.instance_created_ts, language) }),
  ].filter(Boolean)
  return (
    <Text fz="sm" c="dimmed" title={instance.engine_reason}>
      {facts.join(' · ')}
    </Text>
  )
}

/** What the model and its replicas complain about, each complaint once. */
function errors(instance: Instance): string[] {
  const messages = instance.replica_statuses.flatMap(({ error_message }) => error_message ?? [])
  return [...new Set(instance.error_message ? [instance.error_message, ...messages] : messages)]
}
