package message

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLinesAreJoinedWhereTheFirstStands(t *testing.T) {
	f := Fields{{"accept", "a"}, {"cookie", "a=1"}, {"via", ""}, {"accept", "b"}, {"cookie", "b=2"}, {"accept", ""}, {"via", "x"}, {"x-z", "z"}}
	f.Join(JoinedInRequest)
	require.Equal(t, Fields{{"accept", "a,b"}, {"cookie", "a=1"}, {"via", "x"}, {"cookie", "b=2"}, {"x-z", "z"}}, f)
}

func TestFieldsWithoutRepeatsStayAsTheyAre(t *testing.T) {
	f := Fields{{"accept", "a"}, {"x-a", "1"}, {"x-a", "2"}}
	f.Join(JoinedInRequest)
	require.Equal(t, Fields{{"accept", "a"}, {"x-a", "1"}, {"x-a", "2"}}, f)
}

func TestAddJoined(t *testing.T) {
	f := Fields{{"accept", "a"}, {"x-a", "1"}}
	f.AddJoined("accept", "b", true)
	f.AddJoined("x-a", "2", false)
	f.AddJoined("via", "v", true)
	require.Equal(t, Fields{{"accept", "a,b"}, {"x-a", "1"}, {"x-a", "2"}, {"via", "v"}}, f)
}

func TestRequestsAndAnswersJoinDifferentNames(t *testing.T) {
	require.True(t, JoinedInRequest("x-forwarded-for"))
	require.False(t, JoinedInResponse("x-forwarded-for"))
	require.True(t, JoinedInResponse("server"))
	require.False(t, JoinedInRequest("set-cookie"))
	require.False(t, JoinedInResponse("set-cookie"))
}
