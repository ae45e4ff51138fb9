import { NavLink } from '@mantine/core'

import { useI18n } from '../i18n'
import { routeTo, VIEWS } from '../route'
import type { View } from '../route'
import { ChatIcon, ClusterIcon, LaunchIcon, RegisterIcon, RunningIcon } from './icons'
import classes from './Navigation.module.css'

const ICONS = {
  launch: LaunchIcon,
  running: RunningIcon,
  playground: ChatIcon,
  register: RegisterIcon,
  cluster: ClusterIcon,
}

/** The links to the views: a column, or `compact`, the bar at the bottom of a phone. */
export function Navigation({ view, compact = false }: { view: View; compact?: boolean }) {
  const { t } = useI18n()
  return (
    <ul className={compact ? classes.bar : classes.column}>
      {VIEWS.map((target) => {
        const Icon = ICONS[target]
        return (
          <li key={target}>
            <NavLink
              href={routeTo(target)}
              active={target === view}
              aria-current={target === view ? 'page' : undefined}
              label={t(compact ? `nav.short.${target}` : `nav.${target}`)}
              leftSection={<Icon />}
              className={compact ? classes.tab : classes.link}
            />
          </li>
        )
      })}
    </ul>
  )
}
