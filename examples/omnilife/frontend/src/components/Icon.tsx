/** Line drawings of 24 by 24. They say nothing to a screen reader: the words beside them do. */
const PATHS = {
  check: 'M5 12.5l4.5 4.5L19 7.5',
  close: 'M6 6l12 12M18 6L6 18',
  flame: 'M12 3c.6 3.2 5.5 5.4 5.5 10.6a5.5 5.5 0 0 1-11 0c0-2.3 1.2-3.7 2.2-4.8.3 1.6 1 2.5 1.9 2.9C10.3 8.9 10.8 5.6 12 3z',
  plus: 'M12 5v14M5 12h14',
  search: 'M11 4a7 7 0 1 1 0 14a7 7 0 0 1 0-14zM16.2 16.2L20.5 20.5',
  back: 'M14.5 5.5L8 12l6.5 6.5',
  note: 'M5 5h14v10l-4.5 4.5H5zM14.5 19.5V15H19M8.5 9h7M8.5 12.5h4',
  person: 'M12 4a4 4 0 1 1 0 8a4 4 0 0 1 0-8zM4.5 20c.9-3.6 3.9-5 7.5-5s6.6 1.4 7.5 5',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon-drawing" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
