// Something to click for every task, so that nobody meets an empty page: most of it held out from the samples of the
// package, so that no model that is fitted on them has learnt it.

const OURS = {
  classification: [
    { text: "택배 기사님들의 하루를 이렇게 재미있고 따뜻하게 담아낸 드라마는 처음 봅니다." },
    { text: "오류를 고쳤다더니 이제는 아예 켜지지도 않는다. 참 고맙다." },
    { text: "유치하다고? 맞다. 그 유치함이 사랑스러워서 세 번 봤다 😂" },
  ],
  pair: [
    {
      premise: "우박이 쏟아져 비닐하우스에는 구멍이 났으나 그 안의 딸기는 무사했다.",
      hypothesis: "비닐하우스가 상했어도 딸기는 온전했다.",
    },
    {
      premise: "케이블카가 바람 때문에 멈춰서 정상까지 두 시간을 걸어 올라갔다.",
      hypothesis: "우리는 한 걸음도 걷지 않고 정상에 닿았다.",
    },
    {
      premise: "물리 치료실에서 한 노인이 자전거 기구를 천천히 밟고 있다.",
      hypothesis: "노인은 뇌졸중을 앓은 적이 있다.",
    },
  ],
  ner: [
    { text: "물레방아초 운동회에서 우진이네 반이 줄다리기 1등을 했다." },
    { text: "정몽주가 쓰러진 선죽교는 개성에 있다." },
    { text: "내일 오후 3시에 서울역에서 민수랑 만나자 👩‍👩‍👧" },
  ],
  qa: [
    {
      question: "어선은 무엇이 고장 났나?",
      context:
        "21시 10분, 북서풍이 초속 14미터로 세지고 눈발이 섞임. 등명기는 정상이나 시야가 흐려 공기 사이렌을 30초마다 5초씩 울리기로 함. 22시 35분, 어선 제2용왕호가 무선으로 기관 고장을 알려 옴. 선원 넷 모두 무사하다고 함.",
    },
    {
      question: "세종이 훈민정음을 만든 해는?",
      context: "세종은 1443년에 훈민정음을 만들고 1446년에 널리 폈다. 집현전의 학자들이 해례본을 썼다.",
    },
    {
      question: "도서관은 몇 시에 닫나?",
      context: "박물관은 아침 아홉 시에 열고 저녁 여섯 시에 닫는다. 월요일에는 쉰다.",
    },
  ],
  generation: [
    { prompt: "백일 사진을 찍으러 갔는데 아기가 내내 잤어요." },
    { prompt: "길을 알려 주신 덕분에 늦지 않고 도착했습니다." },
    { prompt: "오늘은 아무것도 하기 싫다" },
  ],
  next: [{ text: "이 영화는 정말" }, { text: "티끌 모아" }, { text: "눈이 오는 날이면" }],
  fill: [
    { text: "가는 말이 고와야 오는 말이 [MASK]." },
    { text: "오늘 점심은 [MASK] 먹었다." },
    { text: "이 영화는 정말 [MASK] [MASK]." },
  ],
};

/** The examples of a task. */
export function examples(task) {
  return OURS[task] ?? [];
}
